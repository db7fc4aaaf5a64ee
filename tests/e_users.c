/* SPDX-License-Identifier: Apache-2.0
 *
 * e_users.c: maxSessionsPerUser where logins of a user race at several members.
 * Each race is run $MARGAY_USERS times (60), every time with a new user. */
#include "config.h"

#include "tests/client.h"
#include "tests/unit.h"

#include <stdio.h>
#include <string.h>

#define MEMBERS 4
#define LOGINS 8 /* of a race: two at each member */
#define LIMIT 2
#define ROUNDS 60

static struct fleet *limited(const char *on_exceeded)
{
    struct fleet *f = fleet_new("backup.xml");
    char with[160];

    if (!f)
        return NULL;
    snprintf(with, sizeof with,
             "className=\"BackupManager\" maxSessionsPerUser=\"%d\" "
             "onExceeded=\"%s\"",
             LIMIT, on_exceeded);
    CU_ASSERT_FATAL(fleet_edit(f, "className=\"BackupManager\"", with));
    CU_ASSERT_FATAL(fleet_start(f, MEMBERS));
    return f;
}

struct race {
    struct fleet *fleet;
    struct battery *battery;
    bool away[MEMBERS];
    unsigned in;      /* logins that were answered 303 */
    unsigned over;    /* 401: their session had to go */
    unsigned unknown; /* 503: nobody knows */
    unsigned others;
};

static const struct server *next_server(const struct race *r, unsigned i)
{
    while (r->away[i % MEMBERS])
        i++;
    return fleet_server(r->fleet, i);
}

/* How many of these live, by what each member says of them. */
static unsigned alive(struct race *r, const struct shot *logins, unsigned turn)
{
    struct shot shots[LOGINS];
    unsigned count = 0, sum = 0;

    for (unsigned n = 0; n < LOGINS; n++) {
        if (logins[n].status != 303)
            continue;
        shots[count] = (struct shot){.server = next_server(r, turn + n),
                                     .cookie = logins[n].cookie_set};
        snprintf(shots[count++].path, sizeof shots->path, "/login/me");
    }
    volley(r->battery, shots, count);
    for (unsigned n = 0; n < count; n++) {
        CU_ASSERT(shots[n].status == 200 || shots[n].status == 401);
        sum += shots[n].status == 200;
    }
    return sum;
}

/* True: all were answered, so that the limit must hold. */
static bool race_once(struct race *r, unsigned user, struct shot shots[LOGINS])
{
    char form[64];
    unsigned unknown = r->unknown;

    snprintf(form, sizeof form, "user=user%u&password=x", user);
    for (unsigned n = 0; n < LOGINS; n++) {
        shots[n] = (struct shot){.server = next_server(r, n), .form = form};
        snprintf(shots[n].path, sizeof shots->path, "/login/login");
    }
    volley(r->battery, shots, LOGINS);
    for (unsigned n = 0; n < LOGINS; n++) {
        r->in += shots[n].status == 303;
        r->over += shots[n].status == 401;
        r->unknown += shots[n].status == 503 || shots[n].status == 0;
        r->others += shots[n].status != 303 && shots[n].status != 401 &&
                     shots[n].status != 503 && shots[n].status != 0;
    }
    return r->unknown == unknown;
}

static void the_limit_holds(const char *on_exceeded)
{
    unsigned rounds = (unsigned)setting_number("MARGAY_USERS", ROUNDS);
    struct race r = {.fleet = limited(on_exceeded)};
    unsigned exceeded = 0, wrong = 0;
    if (!r.fleet)
        return;
    r.battery = battery_new(LOGINS);
    for (unsigned user = 0; user < rounds; user++) {
        struct shot shots[LOGINS];
        race_once(&r, user, shots);
        unsigned living = alive(&r, shots, user);
        exceeded += living > LIMIT;
        wrong += living != LIMIT;
    }
    printf("%u users: %u logins stood, %u had to go, %u are not known\n",
           rounds, r.in, r.over, r.unknown);
    CHECK_INT(exceeded, 0);
    CHECK_INT(wrong, 0);
    CHECK_INT(r.unknown, 0);
    CHECK_INT(r.others, 0);
    battery_free(&r.battery);
}

static void the_limit_holds_for_a_new_user(void)
{
    the_limit_holds("end-oldest");
}

static void the_limit_holds_where_the_last_are_rejected(void)
{
    the_limit_holds("reject");
}

/* Whose part it was to make the record dies in the middle of it all. */
static void the_next_member_makes_it_when_the_first_is_gone(void)
{
    unsigned rounds = (unsigned)setting_number("MARGAY_USERS", ROUNDS);
    struct race r = {.fleet = limited("end-oldest")};
    unsigned exceeded = 0, whole = 0;
    if (!r.fleet)
        return;
    r.battery = battery_new(LOGINS);
    for (unsigned user = 0; user < rounds; user++) {
        struct shot shots[LOGINS];
        if (user == rounds / 3 || user == 2 * rounds / 3) {
            unsigned victim = user == rounds / 3 ? 0 : 1;
            r.away[victim] = true;
            server_kill(fleet_server(r.fleet, victim));
        }
        if (!race_once(&r, user, shots))
            continue;
        whole++;
        exceeded += alive(&r, shots, user) > LIMIT;
    }
    printf("%u of %u races were answered\n", whole, rounds);
    CHECK_INT(exceeded, 0);
    CHECK_INT(r.others, 0);
    CU_ASSERT(whole * 10 >= rounds * 8);
    battery_free(&r.battery);
}

UNIT_MAIN_AROUND("users", NULL, fleet_end, CASE(the_limit_holds_for_a_new_user),
                 CASE(the_limit_holds_where_the_last_are_rejected),
                 CASE(the_next_member_makes_it_when_the_first_is_gone))
