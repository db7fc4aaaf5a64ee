/* SPDX-License-Identifier: Apache-2.0
 *
 * model.h: what clients were told, and so what must be there.
 *
 * What    One story per login session: under which ids it may be known, what
 *         was written to it and how that was answered, when it was last used.
 *         Each put remembers the one that it saw: what a later acknowledged
 *         put saw is not to come back. Values name their put, so a value that
 *         nobody wrote is noticed.
 * Threads One. */
#ifndef MARGAY_TESTS_SIM_MODEL_H
#define MARGAY_TESTS_SIM_MODEL_H

#include "tests/sim/sim.h"

#define STORY_KEYS 3
#define STORY_IDS 8

enum outcome {
    OUT_NONE,  /* nobody asked */
    OUT_OPEN,  /* under way */
    OUT_DONE,  /* acknowledged */
    OUT_MAYBE, /* not known: UNCERTAIN, or a crash in between */
    OUT_NOT    /* not done */
};

struct put {
    enum outcome outcome;
    int saw; /* the put whose value it replaced; -1: none */
    bool removal;
    int64_t ended; /* us */
};

struct known_id {
    uint8_t id[ID_SIZE];
    enum outcome born; /* as an id of this session */
    bool orphan;       /* a new id that was not to be: nobody has it */
    int64_t born_at;   /* us: acknowledged */
    enum outcome over; /* ended, or replaced by the next one */
    int64_t over_at;
    bool gone; /* BackupManager: all there was of it went with a member */
};

/* What one member, in one life, said of it. */
struct told {
    uint32_t life;
    const struct known_id *used_as, *counted_as; /* by the id that was used */
    int64_t used, count;
};

struct story {
    unsigned number;
    struct known_id ids[STORY_IDS]; /* in the order of their making */
    unsigned id_count, current;     /* the one that the client has */
    bool forked;          /* it may go on under two ids: few expectations */
    bool renaming;        /* a request that makes a new id is under way */
    unsigned may_end;     /* how often somebody asked for its end, and was not
                             told that nothing was done */
    int64_t max_inactive; /* seconds; 0: never */
    int64_t used;         /* us: the last use that nobody may forget */
    int64_t tried; /* us: the last moment at which it may have been used */
    int64_t added, maybe_added; /* to its counter; under way counts as maybe */
    struct put *puts[STORY_KEYS];
    int put_count[STORY_KEYS];
    char route[16];
    struct told *told; /* by member */
    /* BackupManager (holders.h) */
    unsigned missing;    /* so many went down since it had all its copies */
    bool bereft;         /* something of it is gone with all that had it */
    int64_t last_death;  /* us: of one that had all of it; 0: none died */
    bool orphaned;       /* at some moment no member had a copy */
    int home, home_left; /* where its requests go, and how many still */
};

struct story *story_new(struct sim *sim);
void story_free(struct story **story);
struct known_id *story_add_id(struct sim *sim, struct story *s,
                              const uint8_t id[ID_SIZE]);
struct known_id *story_find_id(struct story *s, const uint8_t id[ID_SIZE]);
/* What that member said in that life. */
struct told *story_told(struct story *s, int slot, uint32_t life);
int story_put(struct story *s, unsigned key, int saw, bool removal);
/* Did `later` see `put`, or a put that saw it, and so on? */
bool story_saw(const struct story *s, unsigned key, int later, int put);
/* The number of an acknowledged put that is lost where `put` is the value of
 * that key; -1: none. */
int story_misses(const struct story *s, unsigned key, int put);
/* May nobody have used it for so long, at that moment? */
bool story_may_idle(const struct story *s, int64_t used, int64_t at);
/* Must it have idled out by now? */
bool story_must_idle(const struct sim *sim, const struct story *s);

/* "w3.17" for the 17th put to key 3 of that story. */
struct value put_value(const struct story *s, unsigned key, int put,
                       char text[32]);
#define PUT_NONE (-1)
#define PUT_FOREIGN (-2) /* a value that nobody wrote there */
int put_of(const struct story *s, unsigned key, const struct value *value);
const char *key_text(unsigned key);

#endif
