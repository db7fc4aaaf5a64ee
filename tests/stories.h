/* SPDX-License-Identifier: Apache-2.0
 *
 * stories.h: what has to hold behind every balancer.
 *
 * What    Each story is one case: kind is "haproxy", "nginx" or "httpd", which
 *         runs with what `margay balancer` prints, before three instances (four
 *         with backup.xml). Without the program it is skipped.
 * Owns    stories_after is to be called after each case.
 * Threads The case's. */
#ifndef MARGAY_TESTS_STORIES_H
#define MARGAY_TESTS_STORIES_H

void stories_after(void);

/* A hundred cookie jars stick to their instances; one is killed, and all go on
 * elsewhere and stick there (with `standard` they are told that they are not
 * logged in any more); it comes back and gets new users; another one drains,
 * gets none, and keeps those that it has. */
void story_of_a_hundred(const char *kind, const char *sticky, const char *conf);
/* An instance dies with a request: a POST is 502 and not done elsewhere, a GET
 * is answered by another one (httpd: 502). */
void story_of_repeating(const char *kind);
/* Of two cookies of one name the first one says where. */
void story_of_two_cookies(const char *kind);
/* Instances learn who asks, and not what he says of himself. */
void story_of_the_client(const char *kind);
/* The program itself finds nothing wrong in what is printed. */
void story_of_the_syntax(const char *kind);
/* Four instances behind nginx are stopped by SIGTERM and started again, one
 * after another: no request fails that is safe to repeat. */
void story_of_bare_restarts(void);
/* `down` in nginx's upstream of new users. */
void story_of_a_drain_by_hand(void);

#define STORY(sticky, conf)                                                    \
    static void a_hundred_by_##sticky##_with_##conf(void)                      \
    {                                                                          \
        story_of_a_hundred(BALANCER, #sticky, #conf ".xml");                   \
    }
/* BALANCER is defined before. */
#define STORIES                                                                \
    STORY(route, delta)                                                        \
    STORY(route, backup)                                                       \
    STORY(route, sqlite)                                                       \
    STORY(route, standard)                                                     \
    STORY(cookie, delta)                                                       \
    STORY(cookie, standard)                                                    \
    static void what_is_not_safe_is_not_repeated(void)                         \
    {                                                                          \
        story_of_repeating(BALANCER);                                          \
    }                                                                          \
    static void the_first_cookie_counts(void)                                  \
    {                                                                          \
        story_of_two_cookies(BALANCER);                                        \
    }                                                                          \
    static void who_asks_is_told(void)                                         \
    {                                                                          \
        story_of_the_client(BALANCER);                                         \
    }                                                                          \
    static void its_own_check_is_content(void)                                 \
    {                                                                          \
        story_of_the_syntax(BALANCER);                                         \
    }
#define STORY_CASES                                                            \
    CASE(its_own_check_is_content), CASE(a_hundred_by_route_with_delta),       \
        CASE(a_hundred_by_route_with_backup),                                  \
        CASE(a_hundred_by_route_with_sqlite),                                  \
        CASE(a_hundred_by_route_with_standard),                                \
        CASE(a_hundred_by_cookie_with_delta),                                  \
        CASE(a_hundred_by_cookie_with_standard),                               \
        CASE(what_is_not_safe_is_not_repeated), CASE(the_first_cookie_counts), \
        CASE(who_asks_is_told)

#endif
