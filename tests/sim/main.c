/* SPDX-License-Identifier: Apache-2.0
 *
 * margay-sim: seed after seed, until the time is over or one fails. */
#include "config.h"

#include "tests/sim/sim.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TAIL_LINES 60

struct request {
    int64_t seconds, seeds; /* 0: no limit */
    uint64_t first, step;
    bool one;
    unsigned members;
    bool trace_all, go_on;
    int weather; /* -1: the seed's */
    enum which which;
};

struct totals {
    uint64_t seeds, large, backup, failed;
    uint64_t events, requests, acknowledged, refused, bereft, moved;
    uint64_t faults, by_weather[WEATHERS];
    int64_t simulated, slowest;
    uint64_t slowest_seed;
};

static int64_t now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Which seed it was, when the members themselves assert or crash. */
static volatile sig_atomic_t seed_low, seed_high;

static void say_seed(int signal)
{
    char text[] = "margay-sim: died in seed 0x________________\n";
    static const char digits[] = "0123456789abcdef";
    uint64_t seed = (uint64_t)(uint32_t)seed_high << 32 | (uint32_t)seed_low;

    for (int i = 0; i < 16; i++)
        text[sizeof text - 3 - (size_t)i] = digits[seed >> (4 * i) & 15];
    if (write(2, text, sizeof text - 1) < 0)
        _exit(2);
    struct sigaction plain = {.sa_handler = SIG_DFL};
    sigaction(signal, &plain, NULL);
    raise(signal);
}

static void watch_signals(void)
{
    struct sigaction action = {.sa_handler = say_seed};

    sigaction(SIGABRT, &action, NULL);
    sigaction(SIGSEGV, &action, NULL);
    sigaction(SIGFPE, &action, NULL);
}

static void describe(const struct plan *p)
{
    static const char *const copies[] = {"none", "one", "all"};

    printf("seed %llu: %s, %u members, %s, %s%s, replication %s, dropTime %lld "
           "ms, %u clients, %lld s",
           (unsigned long long)p->seed, plan_manager(p), p->members,
           weather_name(p->weather), p->listed ? "listed" : "discovered",
           p->lossy ? ", lossy" : "", copies[p->copies], (long long)p->drop_ms,
           p->clients, (long long)p->work_us / SECOND);
    if (p->backup)
        printf(", %u backups, %u %% sticky%s", p->backups, p->sticky,
               p->gentle ? ", gentle" : "");
    putchar('\n');
}

/* The same seed once more, now with a trace, of which the end is shown. */
static void show_again(const struct plan *plan, uint64_t print)
{
    char *text = NULL;
    size_t len = 0;
    FILE *trace = open_memstream(&text, &len);

    struct sim *sim = sim_run(plan, trace);
    fflush(trace);
    const char *from = text + len;
    for (int lines = 0; from > text; from--)
        if (from[-1] == '\n' && lines++ == TAIL_LINES)
            break;
    printf("...\n%s", from);
    if (sim->print != print)
        printf("(the second run was NOT the same as the first)\n");
    sim_free(&sim);
    fclose(trace);
    free(text);
}

static void plan_for(struct plan *plan, const struct request *r, uint64_t seed)
{
    plan_make(plan, seed, r->members, r->which);
}

static bool run_seed(const struct request *r, uint64_t seed, struct totals *t)
{
    struct plan plan;

    plan_for(&plan, r, seed);
    seed_low = (sig_atomic_t)(uint32_t)seed;
    seed_high = (sig_atomic_t)(uint32_t)(seed >> 32);
    if (r->weather >= 0 && (int)plan.weather != r->weather && !r->one)
        return true;
    bool traced = r->one && r->trace_all;
    if (r->one)
        describe(&plan);
    fflush(stdout);
    struct sim *sim = sim_run(&plan, traced ? stdout : NULL);
    bool ok = !sim->failure[0];
    uint64_t print = sim->print;
    t->seeds++;
    t->large += plan.members > 7;
    t->backup += plan.backup;
    t->bereft += sim->bereft;
    t->moved += sim->moved;
    t->by_weather[plan.weather]++;
    t->events += sim->events;
    t->requests += sim->requests;
    t->acknowledged += sim->acknowledged;
    t->refused += sim->refused;
    t->faults += sim->faults_made;
    t->simulated += sim->now / MS;
    if (ok && sim->equal_at - sim->healed_at > t->slowest) {
        t->slowest = sim->equal_at - sim->healed_at;
        t->slowest_seed = seed;
    }
    if (!ok) {
        t->failed++;
        printf("FAILED seed %llu: %s\n", (unsigned long long)seed,
               sim->failure);
        if (!r->go_on)
            describe(&plan);
    }
    if (r->one)
        printf("seed %llu: %s, %llu events, print %016llx\n",
               (unsigned long long)seed, ok ? "held" : "failed",
               (unsigned long long)sim->events, (unsigned long long)print);
    sim_free(&sim);
    if (!ok && !traced && !r->go_on) {
        show_again(&plan, print);
        printf("\nagain: ./dev sim --seed %llu --trace all%s%s\n",
               (unsigned long long)seed, r->members ? " --members N" : "",
               r->which == WHICH_DELTA    ? " --manager delta"
               : r->which == WHICH_BACKUP ? " --manager backup"
                                          : "");
    }
    fflush(stdout);
    return ok;
}

static void say_totals(const struct totals *t, int64_t ms)
{
    printf("%llu seeds in %.1f s (%.0f a minute; %llu large, %llu backup), "
           "%llu failed\n",
           (unsigned long long)t->seeds, (double)ms / 1000,
           ms ? (double)t->seeds * 60000 / (double)ms : 0,
           (unsigned long long)t->large, (unsigned long long)t->backup,
           (unsigned long long)t->failed);
    printf("simulated %.1f h, %llu events, %llu faults, %llu requests: %llu "
           "commits acknowledged, %llu refused\n",
           (double)t->simulated / 3600000, (unsigned long long)t->events,
           (unsigned long long)t->faults, (unsigned long long)t->requests,
           (unsigned long long)t->acknowledged, (unsigned long long)t->refused);
    if (t->backup)
        printf(
            "%llu sessions lost something with all that had it, %llu moved\n",
            (unsigned long long)t->bereft, (unsigned long long)t->moved);
    for (int w = 0; w < WEATHERS; w++)
        printf("%s%s %llu", w ? ", " : "", weather_name((enum weather)w),
               (unsigned long long)t->by_weather[w]);
    printf("; longest until equal: %.1f s (seed %llu)\n",
           (double)t->slowest / SECOND, (unsigned long long)t->slowest_seed);
}

static int usage(void)
{
    fputs("usage: margay-sim [SECONDS] [--seeds N] [--from SEED] [--step N]\n"
          "                  [--seed SEED [--trace all]] [--members N]\n"
          "                  [--weather calm|hosts|net|wild|forget] "
          "[--go-on]\n"
          "                  [--manager delta|backup]\n",
          stderr);
    return 2;
}

static int weather_of(const char *name)
{
    for (int w = 0; w < WEATHERS; w++)
        if (strcmp(name, weather_name((enum weather)w)) == 0)
            return w;
    return -1;
}

/* An option that takes a value: true when it is this one. */
static bool takes(char **argv, int *i, const char *name, const char **value)
{
    if (strcmp(argv[*i], name) != 0 || !argv[*i + 1])
        return false;
    *value = argv[++*i];
    return true;
}

static bool read_argument(struct request *r, char **argv, int *i)
{
    const char *v;

    if (takes(argv, i, "--seed", &v)) {
        r->one = true;
        r->first = strtoull(v, NULL, 0);
    } else if (takes(argv, i, "--seeds", &v))
        r->seeds = strtoll(v, NULL, 0);
    else if (takes(argv, i, "--from", &v))
        r->first = strtoull(v, NULL, 0);
    else if (takes(argv, i, "--step", &v))
        r->step = strtoull(v, NULL, 0);
    else if (takes(argv, i, "--members", &v))
        r->members = (unsigned)strtoul(v, NULL, 0);
    else if (takes(argv, i, "--trace", &v))
        r->trace_all = strcmp(v, "all") == 0;
    else if (takes(argv, i, "--weather", &v))
        r->weather = weather_of(v);
    else if (takes(argv, i, "--manager", &v))
        r->which = strcmp(v, "backup") == 0 ? WHICH_BACKUP : WHICH_DELTA;
    else if (strcmp(argv[*i], "--go-on") == 0)
        r->go_on = true;
    else if (argv[*i][0] >= '1' && argv[*i][0] <= '9')
        r->seconds = strtoll(argv[*i], NULL, 10);
    else
        return false;
    return true;
}

static bool read_request(struct request *r, int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (!read_argument(r, argv, &i))
            return false;
    if (!r->seconds && !r->seeds)
        r->seeds = 300;
    return r->members != 1 && r->members <= SIM_MEMBERS;
}

int main(int argc, char **argv)
{
    struct request r = {.first = 1, .step = 1, .weather = -1};
    struct totals t = {0};

    if (!read_request(&r, argc, argv))
        return usage();
    watch_signals();
    if (r.one)
        return !run_seed(&r, r.first, &t);
    int64_t begin = now_ms(), said = begin;
    for (int64_t i = 0; !r.seeds || i < r.seeds; i++) {
        if (r.seconds && now_ms() - begin > r.seconds * 1000)
            break;
        if (!run_seed(&r, r.first + (uint64_t)i * r.step, &t) && !r.go_on)
            break;
        if (now_ms() - said > 10000) {
            said = now_ms();
            printf("%llu seeds, %llu failed\n", (unsigned long long)t.seeds,
                   (unsigned long long)t.failed);
            fflush(stdout);
        }
    }
    say_totals(&t, now_ms() - begin);
    return t.failed > 0;
}
