/* SPDX-License-Identifier: Apache-2.0
 *
 * e_races.c: requests of one session that meet one another. Each race is run
 * $MARGAY_ROUNDS times (1000). */
#include "config.h"

#include "tests/client.h"
#include "tests/unit.h"

#include <stdio.h>
#include <string.h>

#define ROUNDS 1000

static struct shot shot_at(struct fleet *f, unsigned i, const char *path,
                           const char *cookie, const char *form)
{
    struct shot shot = {
        .server = fleet_server(f, i), .cookie = cookie, .form = form};
    snprintf(shot.path, sizeof shot.path, "%s", path);
    return shot;
}

/* A guest at instance i; false when there is none. */
static bool guest(struct fleet *f, struct battery *battery, unsigned i,
                  char cookie[128])
{
    struct shot shot = shot_at(f, i, "/login/new", NULL, NULL);
    volley(battery, &shot, 1);
    snprintf(cookie, 128, "%s", shot.cookie_set);
    return shot.status == 200 && cookie[0];
}

/* How many of the three say that the session is over by a logout. */
static unsigned said_logout(struct fleet *f, struct battery *battery,
                            const char *cookie)
{
    struct shot shots[3];
    unsigned sum = 0;
    for (unsigned i = 0; i < 3; i++)
        shots[i] = shot_at(f, i, "/login/hit", cookie, NULL);
    volley(battery, shots, 3);
    for (unsigned i = 0; i < 3; i++)
        sum += shots[i].status == 401 &&
               strcmp(shots[i].body, "not logged in: logout\n") == 0;
    return sum;
}

#define HITS 8

static void a_logout_among_hits_is_final(struct fleet *f)
{
    unsigned rounds = (unsigned)setting_number("MARGAY_ROUNDS", ROUNDS);
    struct battery *battery = battery_new(HITS + 1);
    unsigned ok = 0, over = 0, bye = 0, final = 0;
    for (unsigned round = 0; round < rounds; round++) {
        struct shot shots[HITS + 1];
        char cookie[128];
        CU_ASSERT_FATAL(guest(f, battery, round, cookie));
        /* The logout leaves as one of the first, in the middle, or last. */
        for (unsigned n = 0; n <= HITS; n++)
            shots[n] = n == round % (HITS + 1)
                           ? shot_at(f, 0, "/login/logout", cookie, "")
                           : shot_at(f, 1 + n % 2, "/login/hit", cookie, NULL);
        volley(battery, shots, HITS + 1);
        for (unsigned n = 0; n <= HITS; n++) {
            bool is_logout = n == round % (HITS + 1);
            bye += is_logout && shots[n].status == 200;
            ok += !is_logout && shots[n].status == 200;
            over += !is_logout && shots[n].status == 401 &&
                    strcmp(shots[n].body, "not logged in: logout\n") == 0;
        }
        final += said_logout(f, battery, cookie);
    }
    printf("%u rounds: %u hits before, %u after\n", rounds, ok, over);
    CHECK_INT(bye, rounds);
    CHECK_INT(ok + over, (int64_t)rounds * HITS);
    CU_ASSERT(over > 0);
    CHECK_INT(final, (int64_t)rounds * 3);
    battery_free(&battery);
}

static unsigned is_logged_in(struct fleet *f, struct battery *battery,
                             const char *cookie, const char *user)
{
    struct shot shots[3];
    char line[32];
    unsigned sum = 0;
    snprintf(line, sizeof line, "user=%s\n", user);
    for (unsigned i = 0; i < 3; i++)
        shots[i] = shot_at(f, i, "/login/me", cookie, NULL);
    volley(battery, shots, 3);
    for (unsigned i = 0; i < 3; i++)
        sum += shots[i].status == 200 &&
               strncmp(shots[i].body, line, strlen(line)) == 0;
    return sum;
}

static void of_two_logins_each_cookie_lives(struct fleet *f)
{
    unsigned rounds = (unsigned)setting_number("MARGAY_ROUNDS", ROUNDS);
    struct battery *battery = battery_new(4);
    unsigned in = 0, alive = 0, different = 0;
    for (unsigned round = 0; round < rounds; round++) {
        const char *other = round % 2 ? "lee" : "kim";
        struct shot shots[2];
        char cookie[128];
        CU_ASSERT_FATAL(guest(f, battery, round, cookie));
        shots[0] = shot_at(f, 0, "/login/login", cookie, "user=kim&password=x");
        shots[1] =
            shot_at(f, 1, "/login/login", cookie,
                    round % 2 ? "user=lee&password=x" : "user=kim&password=x");
        volley(battery, shots, 2);
        for (unsigned n = 0; n < 2; n++) {
            in += shots[n].status == 303;
            alive += is_logged_in(f, battery, shots[n].cookie_set,
                                  n ? other : "kim");
        }
        different += strcmp(shots[0].cookie_set, shots[1].cookie_set) != 0;
        CU_ASSERT(strcmp(shots[0].cookie_set, cookie) != 0);
    }
    CHECK_INT(in, 2 * (int64_t)rounds);
    CHECK_INT(alive, 6 * (int64_t)rounds);
    CHECK_INT(different, rounds);
    battery_free(&battery);
}

static void a_put_goes_along_with_a_login(struct fleet *f)
{
    unsigned rounds = (unsigned)setting_number("MARGAY_ROUNDS", ROUNDS);
    struct battery *battery = battery_new(4);
    unsigned in = 0, ok = 0, over = 0, there = 0;
    for (unsigned round = 0; round < rounds; round++) {
        struct shot shots[2], get;
        char cookie[128];
        CU_ASSERT_FATAL(guest(f, battery, round, cookie));
        unsigned login = round % 2;
        shots[login] =
            shot_at(f, 0, "/login/login", cookie, "user=kim&password=x");
        shots[!login] = shot_at(f, 1 + round / 2 % 2, "/login/put?k=k&v=here",
                                cookie, NULL);
        volley(battery, shots, 2);
        in += shots[login].status == 303;
        over += shots[!login].status == 401;
        if (shots[!login].status != 200)
            continue;
        ok++;
        get = shot_at(f, 2, "/login/get?k=k", shots[login].cookie_set, NULL);
        volley(battery, &get, 1);
        there += get.status == 200 && strcmp(get.body, "here\n") == 0;
    }
    printf("%u rounds: %u puts done, %u answered 401\n", rounds, ok, over);
    CHECK_INT(in, rounds);
    CHECK_INT(ok + over, rounds);
    CHECK_INT(there, ok);
    CU_ASSERT(ok > 0);
    battery_free(&battery);
}

FLEET_CASES(a_logout_among_hits_is_final)
FLEET_CASES(of_two_logins_each_cookie_lives)
FLEET_CASES(a_put_goes_along_with_a_login)
UNIT_MAIN_AROUND("races", NULL, fleet_end,
                 FLEET_ENTRIES(a_logout_among_hits_is_final),
                 FLEET_ENTRIES(of_two_logins_each_cookie_lives),
                 FLEET_ENTRIES(a_put_goes_along_with_a_login))
