/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "tests/traffic.h"

#include "tests/unit.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <curl/curl.h>

void traffic_login(struct traffic *t, struct fleet *f, unsigned sessions)
{
    struct browser b;
    memset(t, 0, sizeof *t);
    t->fleet = f;
    t->sessions = sessions;
    browser_open(&b);
    for (unsigned n = 0; n < sessions; n++) {
        browser_forget(&b);
        CHECK_INT_FATAL(browser_login(&b, fleet_server(f, n), "kim"), 303);
        CU_ASSERT_FATAL(browser_cookie(&b, "/login", t->cookies[n]));
    }
    browser_close(&b);
}

static struct flight *flight_free(struct traffic *t)
{
    for (unsigned i = 0; i < t->connections; i++)
        if (!t->flights[i].flies)
            return &t->flights[i];
    abort();
}

static bool traffic_next(void *user, struct shot *shot)
{
    struct traffic *t = user;
    if (atomic_load(&t->stop))
        return false;
    unsigned n = t->next++, session = n % t->sessions;
    unsigned at = (t->sticky ? session : n + n / t->sessions) % t->fleet->count;
    unsigned death;
    while (death = atomic_load(&t->deaths[at]), atomic_load(&t->away[at]))
        at = (at + 1) % t->fleet->count;
    struct flight *flight = flight_free(t);
    *flight = (struct flight){
        .flies = true,
        .is_hit = t->only_hits || (n / t->sessions / 3) % 2 == 0,
        .session = session,
        .floor = t->acknowledged[session],
        .death = death,
        .begun = clock_ms(),
    };
    t->asked++;
    shot->sends = flight->is_hit ? &t->sent[session] : NULL;
    shot->number = (unsigned)(flight - t->flights);
    shot->server = fleet_server(t->fleet, at);
    shot->cookie = t->cookies[session];
    snprintf(shot->path, sizeof shot->path, "/login/%s",
             flight->is_hit ? "hit" : "me");
    return true;
}

static void note(struct traffic *t, const struct shot *shot, const char *what)
{
    snprintf(t->strange, sizeof t->strange, "%s: %s%s %d/%d %.40s", what,
             shot->server->node, shot->path, shot->status, shot->problem,
             shot->body);
}

static void judge(struct traffic *t, const struct flight *f,
                  const struct shot *shot)
{
    const char *line = f->is_hit ? shot->body : strstr(shot->body, "hits=");
    unsigned value = 0;
    if (!line || sscanf(line, f->is_hit ? "%u" : "hits=%u", &value) != 1) {
        t->others++;
        note(t, shot, "no number");
    } else if (value < f->floor + f->is_hit) {
        t->stale++;
        note(t, shot, "stale");
        snprintf(t->strange, sizeof t->strange,
                 "stale: %s%s says %u, %u were acknowledged before",
                 shot->server->node, shot->path, value, f->floor);
    } else if (value > t->sent[f->session]) {
        t->beyond++;
        note(t, shot, "more than were sent");
    }
}

static unsigned deaths_of(struct traffic *t, const struct server *s)
{
    return atomic_load(&t->deaths[s - t->fleet->servers]);
}

static void traffic_hit(void *user, const struct shot *shot)
{
    struct traffic *t = user;
    struct flight *f = &t->flights[shot->number];
    f->flies = false;
    if (shot->status == 200) {
        long long ms = clock_ms() - f->begun;
        if (ms > atomic_load(&t->worst_ms))
            atomic_store(&t->worst_ms, ms);
        judge(t, f, shot);
        t->acknowledged[f->session] += f->is_hit;
        atomic_fetch_add(&t->answered, 1);
    } else if (shot->problem == CURLE_COULDNT_CONNECT) {
        t->refused++;
    } else if (shot->status == 0) {
        t->unanswered++;
        note(t, shot, "no answer");
    } else {
        bool anew = f->death != deaths_of(t, shot->server);
        t->too_early += shot->status == 503 && anew;
        t->unavailable += shot->status == 503 && !anew;
        t->ended += shot->status == 401;
        t->others += shot->status != 503 && shot->status != 401;
        note(t, shot, "answer");
    }
}

static void *traffic_run(void *argument)
{
    struct traffic *t = argument;
    struct battery *battery = battery_new(t->connections);
    volley_run(battery, traffic_next, traffic_hit, t);
    battery_free(&battery);
    return NULL;
}

void traffic_go(struct traffic *t, unsigned connections)
{
    t->connections = connections;
    if (connections > TRAFFIC_CONNECTIONS ||
        pthread_create(&t->thread, NULL, traffic_run, t))
        abort();
}

struct until {
    struct traffic *traffic;
    unsigned answered;
};

static bool is_answered(void *user)
{
    const struct until *until = user;
    return atomic_load(&until->traffic->answered) >= until->answered;
}

void traffic_bury(struct traffic *t, unsigned instance)
{
    atomic_store(&t->away[instance], true);
    atomic_fetch_add(&t->deaths[instance], 1);
}

bool traffic_pass(struct traffic *t, unsigned more)
{
    struct until until = {t, atomic_load(&t->answered) + more};
    return eventually(30000, is_answered, &until);
}

void traffic_halt(struct traffic *t)
{
    atomic_store(&t->stop, true);
    pthread_join(t->thread, NULL);
    printf("%u asked, %u answered, %u refused, %u without an answer, "
           "%u unavailable\n",
           t->asked, atomic_load(&t->answered), t->refused, t->unanswered,
           t->unavailable);
}

int traffic_read(const struct traffic *t, unsigned session, unsigned instance)
{
    struct browser b;
    char header[160], line[128];
    int hits = -1;
    browser_open(&b);
    snprintf(header, sizeof header, "Cookie: %s", t->cookies[session]);
    if (browser_get_with(&b, fleet_server(t->fleet, instance), "/login/me",
                         header) == 200)
        hits = atoi(browser_line(&b, "hits", line));
    browser_close(&b);
    return hits;
}

static bool is_equal(void *user)
{
    const struct traffic *t = user;
    unsigned first = 0;
    while (atomic_load(&t->away[first]))
        first++;
    for (unsigned n = 0; n < t->sessions; n++)
        for (unsigned i = first + 1; i < t->fleet->count; i++)
            if (!atomic_load(&t->away[i]) &&
                traffic_read(t, n, i) != traffic_read(t, n, first))
                return false;
    return true;
}

void traffic_check(const struct traffic *t)
{
    CU_ASSERT(eventually(5000, is_equal, (void *)t));
    for (unsigned n = 0; n < t->sessions; n++)
        for (unsigned i = 0; i < t->fleet->count; i++) {
            if (atomic_load(&t->away[i]))
                continue;
            int final = traffic_read(t, n, i);
            if (final < (int)t->acknowledged[n] || final > (int)t->sent[n])
                printf("session %u at %s: %d; %u acknowledged, %u sent\n", n,
                       fleet_server(t->fleet, i)->node, final,
                       t->acknowledged[n], t->sent[n]);
            CU_ASSERT((int)t->acknowledged[n] <= final);
            CU_ASSERT(final <= (int)t->sent[n]);
        }
}

void traffic_unnoticed(const struct traffic *t)
{
    printf("the longest took %lld ms\n", atomic_load(&t->worst_ms));
    CHECK_INT(t->refused, 0);
    CHECK_INT(t->unanswered, 0);
    CHECK_INT(t->unavailable, 0);
    CHECK_INT(t->ended, 0);
    CHECK_INT(t->others, 0);
    CHECK_INT(t->stale, 0);
    CHECK_INT(t->beyond, 0);
    CHECK_STR(t->strange, "");
    traffic_check(t);
}

void traffic_door(struct fleet *door, int port)
{
    struct server *s = &door->servers[0];

    memset(door, 0, sizeof *door);
    door->count = 1;
    s->port = port;
    snprintf(s->node, sizeof s->node, "door");
    snprintf(s->url, sizeof s->url, "http://127.0.0.1:%d", port);
}

void traffic_converges(const char *conf, unsigned instances,
                       const char *replication)
{
    struct fleet *f = fleet_new(conf);
    struct traffic t;
    if (!f)
        return;
    fleet_define(f, "replication", replication);
    CU_ASSERT_FATAL(fleet_start(f, instances));
    traffic_login(&t, f, TRAFFIC_SESSIONS);
    traffic_go(&t, TRAFFIC_CONNECTIONS);
    CU_ASSERT(traffic_pass(&t, 5000));
    traffic_halt(&t);
    printf("%u read late\n", t.stale);
    CHECK_INT(t.beyond, 0);
    CHECK_INT(t.ended, 0);
    CHECK_INT(t.others, 0);
    CHECK_INT(t.unavailable, 0);
    CHECK_INT(t.unanswered, 0);
    traffic_check(&t);
}

/* ---- a balancer that asks for their health ---- */

static void *guard_run(void *argument)
{
    struct guard *g = argument;
    struct fleet *f = g->traffic->fleet;
    while (!atomic_load(&g->stop)) {
        for (unsigned i = 0; i < f->count; i++)
            atomic_store(&g->traffic->away[i],
                         server_health(&f->servers[i]) != 200);
        poll(NULL, 0, 20); /* the check interval */
    }
    return NULL;
}

void guard_go(struct guard *g, struct traffic *t)
{
    *g = (struct guard){.traffic = t};
    if (pthread_create(&g->thread, NULL, guard_run, g))
        abort();
}

void guard_halt(struct guard *g)
{
    atomic_store(&g->stop, true);
    pthread_join(g->thread, NULL);
    for (unsigned i = 0; i < g->traffic->fleet->count; i++)
        atomic_store(&g->traffic->away[i], false);
}
