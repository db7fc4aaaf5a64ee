/* SPDX-License-Identifier: Apache-2.0
 *
 * client.h: HTTP as browsers and load scripts speak it, on libcurl.
 *
 * What    A browser has a cookie jar and asks one thing at a time; cookies know
 *         no ports, so a browser is the same person at every instance. A
 *         volley is many requests, a given number of them in flight.
 * Owns    What a browser was answered stays until it asks again.
 * Threads One browser, one thread. */
#ifndef MARGAY_TESTS_CLIENT_H
#define MARGAY_TESTS_CLIENT_H

#include "tests/process.h"

#include <stddef.h>

struct browser {
    void *curl;
    int status; /* 0: no answer at all; then `problem` says why */
    char *head; /* status line and headers as they came */
    char *body; /* "" when empty */
    size_t head_len, body_len;
    char problem[256];
};

void browser_open(struct browser *b);
void browser_close(struct browser *b);
/* path begins with a slash. Return the status; redirects are not followed. */
int browser_get(struct browser *b, const struct server *s, const char *path);
int browser_post(struct browser *b, const struct server *s, const char *path,
                 const char *form);
/* GET with one header line of the caller's, e.g. "Cookie: ..."; the jar is
 * left out. NULL: none. */
int browser_get_with(struct browser *b, const struct server *s,
                     const char *path, const char *header);
/* POST /login/login; the status. */
int browser_login(struct browser *b, const struct server *s, const char *user);
void browser_forget(struct browser *b); /* all cookies */
/* From now on each request has a connection of its own. */
void browser_renew(struct browser *b);
/* The value of a header of the last answer, the n-th of that name (0: first);
 * NULL when there is none. Valid until the next call. */
const char *browser_header(struct browser *b, const char *name, unsigned n);
/* "JSESSIONID=..." from the jar, for path; false when there is none. */
bool browser_cookie(struct browser *b, const char *path, char out[128]);
/* The value of a line NAME=VALUE of the body. Returns out, "" when absent. */
const char *browser_line(const struct browser *b, const char *name,
                         char out[128]);

struct shot {
    const struct server *server;
    char path[96];
    const char *cookie; /* "JSESSIONID=..." or NULL */
    const char *form;   /* POST with this body; NULL: GET */
    unsigned number;    /* the caller's; volley's own */
    unsigned *sends;    /* NULL, or counts each time that it is sent: libcurl
                           asks anew when a connection had died meanwhile */
    int status;         /* 0: no answer; problem is libcurl's code */
    int problem;
    char body[128];       /* its beginning */
    char cookie_set[128]; /* "JSESSIONID=..." of its Set-Cookie; "" none */
};
/* `parallel` connections to each server that stay open between volleys. */
struct battery;
struct battery *battery_new(unsigned parallel);
void battery_free(struct battery **battery);
/* Sends all, at most `parallel` at a time, and waits for the answers. */
void volley(struct battery *battery, struct shot *shots, unsigned count);
/* The same with shots that are made as they go: `next` fills one in (false: no
 * more), `hit` gets it back with the answer. */
typedef bool volley_next_fn(void *user, struct shot *shot);
typedef void volley_hit_fn(void *user, const struct shot *shot);
void volley_run(struct battery *battery, volley_next_fn *next,
                volley_hit_fn *hit, void *user);

/* Sum of the metrics whose line begins with `prefix`; -1 without an answer. */
double server_metric(const struct server *s, const char *prefix);
/* /health; 0 when it does not answer. */
int server_health(const struct server *s);

#endif
