/* SPDX-License-Identifier: Apache-2.0
 *
 * e_join.c: a member comes to a cluster that holds many sessions, and the one
 * that hands them over is killed meanwhile. */
#include "config.h"

#include "tests/client.h"
#include "tests/neighbour.h"
#include "tests/unit.h"

#include "session/buf.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MEMBERS 3 /* before the one that comes */
#define CLIENTS 32

struct sessions {
    struct fleet *fleet;
    unsigned count, sent, answered, wrong;
    char (*cookies)[128];
    unsigned at; /* the instance that is asked */
    char strange[64];
};

static bool make_next(void *user, struct shot *shot)
{
    struct sessions *s = user;

    if (s->sent == s->count)
        return false;
    shot->number = s->sent++;
    shot->server = fleet_server(s->fleet, shot->number % MEMBERS);
    snprintf(shot->path, sizeof shot->path, "/login/new");
    return true;
}

static void make_hit(void *user, const struct shot *shot)
{
    struct sessions *s = user;
    s->wrong += shot->status != 200 || !*shot->cookie_set;
    memcpy(s->cookies[shot->number], shot->cookie_set, 128);
}

static void make_sessions(struct sessions *s)
{
    struct battery *battery = battery_new(CLIENTS);

    s->cookies = mem_zero(s->count * sizeof *s->cookies);
    volley_run(battery, make_next, make_hit, s);
    battery_free(&battery);
    CHECK_INT(s->wrong, 0);
}

/* Each session once, at one instance. */
static bool look_next(void *user, struct shot *shot)
{
    struct sessions *s = user;

    if (s->sent == s->count)
        return false;
    shot->number = s->sent++;
    shot->server = fleet_server(s->fleet, s->at);
    shot->cookie = s->cookies[shot->number];
    snprintf(shot->path, sizeof shot->path, "/login/me");
    return true;
}

static void look_hit(void *user, const struct shot *shot)
{
    struct sessions *s = user;

    if (shot->status == 200)
        s->answered++;
    else
        snprintf(s->strange, sizeof s->strange, "%d %.40s", shot->status,
                 shot->body);
}

static void all_are_at(struct sessions *s, unsigned at)
{
    struct battery *battery = battery_new(CLIENTS);

    s->at = at;
    s->sent = s->answered = 0;
    s->strange[0] = 0;
    volley_run(battery, look_next, look_hit, s);
    battery_free(&battery);
    CHECK_INT(s->answered, s->count);
    CHECK_STR(s->strange, "");
}

/* ---- the one that comes ---- */

#define JOINER MEMBERS
#define TRIES 5

struct join {
    struct fleet *fleet;
    const char *cookie;       /* of a session that all others know */
    unsigned before[MEMBERS]; /* donor lines in its log, of earlier starts */
    int donor;                /* which was killed; -1: none yet */
    unsigned donors;          /* that it had */
    unsigned starting;        /* so often it said so, or had no port yet */
    unsigned early;           /* answers for a session before it was ready */
    int health;               /* what it said last */
};

static unsigned donor_lines(struct join *j, unsigned i)
{
    char text[64];

    snprintf(text, sizeof text, "takes its copies from node%u\n", i + 1);
    return server_said_times(fleet_server(j->fleet, JOINER), text);
}

static void kill_donor(struct join *j)
{
    for (unsigned i = 0; i < MEMBERS && j->donor < 0; i++) {
        if (donor_lines(j, i) == j->before[i])
            continue;
        server_kill(fleet_server(j->fleet, i));
        j->donor = (int)i;
    }
}

/* Asks it for what all others know until it is ready, and kills its donor as
 * soon as it has one. */
static void *watch(void *user)
{
    struct join *j = user;
    struct server *s = fleet_server(j->fleet, JOINER);
    long long end = clock_ms() + 20000LL * slowness();
    char header[160];
    struct browser b;

    snprintf(header, sizeof header, "Cookie: %s", j->cookie);
    browser_open(&b);
    while (j->health != 200 && clock_ms() < end) {
        kill_donor(j);
        int seen = browser_get_with(&b, s, "/login/me", header);
        j->health = server_health(s);
        j->starting += j->health == 503 || j->health == 0;
        j->early +=
            seen != 0 && seen != 503 && (seen != 200 || j->health != 200);
    }
    browser_close(&b);
    return NULL;
}

static bool join(struct join *j)
{
    pthread_t thread;

    *j = (struct join){.fleet = j->fleet, .cookie = j->cookie, .donor = -1};
    for (unsigned i = 0; i < MEMBERS; i++)
        j->before[i] = donor_lines(j, i);
    CU_ASSERT_FATAL(pthread_create(&thread, NULL, watch, j) == 0);
    /* this thread starts it, for it ends with the thread that did */
    bool started = fleet_restart(j->fleet, JOINER);
    pthread_join(thread, NULL);
    for (unsigned i = 0; i < MEMBERS; i++)
        j->donors += donor_lines(j, i) - j->before[i];
    return started;
}

static void the_donor_is_killed(struct fleet *f)
{
    struct sessions s = {
        .fleet = f, .count = (unsigned)setting_number("MARGAY_JOIN", 20000)};
    struct join j = {.fleet = f};

    server_kill(fleet_server(f, JOINER));
    make_sessions(&s);
    j.cookie = s.cookies[0];
    for (unsigned n = 0; n < TRIES && j.donors < 2; n++) {
        if (n) { /* it had all before the donor was gone: once more */
            CU_ASSERT_FATAL(fleet_restart(f, (unsigned)j.donor));
            server_kill(fleet_server(f, JOINER));
        }
        CU_ASSERT_FATAL(join(&j));
        CU_ASSERT_FATAL(j.donor >= 0);
        CHECK_INT(j.health, 200);
        CHECK_INT(j.early, 0);
        CU_ASSERT(j.starting > 0);
    }
    CU_ASSERT(j.donors >= 2);
    all_are_at(&s, JOINER);
    CU_ASSERT_FATAL(fleet_restart(f, (unsigned)j.donor));
    for (unsigned i = 0; i < MEMBERS; i++)
        all_are_at(&s, i);
    free(s.cookies);
}

/* ---- its port ---- */

#define SHUT_MS 1000 /* so long it waits for its copies */

/* The first word of a member that cannot have its copies yet. */
struct opening {
    struct server *server;
    int hole;        /* a member that takes connections and says nothing */
    long long begun; /* at the start of the process, or before */
    long long ms;    /* until the port was open */
    int health;
};

static bool has_opened(void *user)
{
    struct opening *o = user;

    o->health = server_health(o->server);
    o->ms = clock_ms() - o->begun;
    return o->health != 0;
}

static void *await_opening(void *user)
{
    struct opening *o = user;

    eventually(15000, has_opened, o);
    close(o->hole); /* now it is alone, and ready */
    return NULL;
}

/* At most so long: then it says that it is starting. */
static void the_port_waits_for_the_copies(void)
{
    struct fleet *f = fleet_new("delta.xml");
    struct opening o = {0};
    pthread_t thread;
    char member[32], port[16];
    int hole;

    if (!f)
        return;
    o.server = &f->servers[0];
    o.server->port = fleet_free_port();
    snprintf(o.server->url, sizeof o.server->url, "http://127.0.0.1:%d",
             o.server->port);
    o.hole = neighbour_listen(&hole);
    snprintf(member, sizeof member, "127.0.0.1:%d", hole);
    snprintf(port, sizeof port, "%d", f->member_port[0]);
    f->member_port[0] = 0; /* it is told what follows instead */
    fleet_define(f, "cluster.port", port);
    fleet_define(f, "cluster.members", member);
    fleet_define(f, "cluster.dropTime", "60");
    o.begun = clock_ms();
    CU_ASSERT_FATAL(pthread_create(&thread, NULL, await_opening, &o) == 0);
    CU_ASSERT(fleet_start(f, 1));
    pthread_join(thread, NULL);
    CHECK_INT(o.health, 503);
    CU_ASSERT(o.ms >= SHUT_MS);
    CHECK_INT(server_health(o.server), 200);
}

FLEET_CASE(the_donor_is_killed, delta, "delta.xml", MEMBERS + 1)
UNIT_MAIN_AROUND("join", NULL, fleet_end, CASE(the_donor_is_killed_on_delta),
                 CASE(the_port_waits_for_the_copies))
