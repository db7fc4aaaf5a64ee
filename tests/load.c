/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "tests/load.h"

#include "tests/unit.h"

#include "session/buf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool load_next(void *user, struct shot *shot)
{
    struct load *load = user;
    if (atomic_load(&load->stop))
        return false;
    unsigned n = atomic_fetch_add(&load->number, 1);
    unsigned at = n / load->sessions % 3;
    while (atomic_load(&load->away[at]))
        at = (at + 1) % 3;
    shot->number = n % load->sessions;
    shot->server = fleet_server(load->fleet, at);
    shot->cookie = load->cookies[shot->number];
    snprintf(shot->path, sizeof shot->path, "/login/hit");
    shot->sends = &load->sent[shot->number];
    return true;
}

static void load_hit(void *user, const struct shot *shot)
{
    struct load *load = user;
    if (shot->status == 200) {
        load->acknowledged[shot->number]++;
        atomic_fetch_add(&load->answered, 1);
    } else if (shot->status == 503) {
        atomic_fetch_add(&load->refused[shot->number], 1);
        atomic_store(&load->last_refused, clock_ms());
    } else if (shot->status == 401 && (strstr(shot->body, ": lost") ||
                                       strstr(shot->body, ": unknown"))) {
        atomic_fetch_add(&load->gone[shot->number], 1);
    } else if (shot->status == 0) {
        load->unanswered++;
    } else {
        load->others++;
        snprintf(load->strange, sizeof load->strange, "%d %.40s", shot->status,
                 shot->body);
    }
}

static void *load_run(void *argument)
{
    struct load *load = argument;
    struct battery *battery = battery_new(load->parallel);
    volley_run(battery, load_next, load_hit, load);
    battery_free(&battery);
    return NULL;
}

struct load *load_start(struct fleet *f, unsigned sessions, unsigned parallel)
{
    struct load *load = mem_zero(sizeof *load);
    struct browser b;
    load->fleet = f;
    load->sessions = sessions;
    load->parallel = parallel;
    for (unsigned n = 0; n < sessions; n++) {
        browser_open(&b);
        CHECK_INT_FATAL(browser_login(&b, fleet_server(f, n), "kim"), 303);
        CU_ASSERT_FATAL(browser_cookie(&b, "/login", load->cookies[n]));
        browser_close(&b);
    }
    CU_ASSERT_FATAL(pthread_create(&load->thread, NULL, load_run, load) == 0);
    return load;
}

struct until {
    struct load *load;
    unsigned answered;
};

static bool is_answered(void *user)
{
    struct until *until = user;
    return atomic_load(&until->load->answered) >= until->answered;
}

bool load_pass(struct load *load, unsigned more)
{
    struct until until = {load, atomic_load(&load->answered) + more};
    return eventually(30000, is_answered, &until);
}

unsigned load_sum(atomic_uint counts[LOAD_MAX])
{
    unsigned sum = 0;
    for (unsigned n = 0; n < LOAD_MAX; n++)
        sum += atomic_load(&counts[n]);
    return sum;
}

void load_halt(struct load *load)
{
    atomic_store(&load->stop, true);
    pthread_join(load->thread, NULL);
    CHECK_INT(load->others, 0);
    CHECK_STR(load->strange, "");
}

void load_free(struct load **load)
{
    free(*load);
    *load = NULL;
}

bool all_answer(void *user)
{
    struct look *look = user;
    for (unsigned i = 0; i < look->fleet->count; i++)
        if (browser_get_with(look->browser, fleet_server(look->fleet, i),
                             "/login/me", look->header) != look->status)
            return false;
    return true;
}
