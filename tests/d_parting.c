/* SPDX-License-Identifier: Apache-2.0
 *
 * d_parting.c: a session that is marked while the request runs that ends it:
 * its farewell is left before it ends (session/farewell.h). */
#include "config.h"

#include "session/farewell.h"
#include "tests/world.h"

#include <sched.h>
#include <semaphore.h>
#include <string.h>

/* ---- who writes what ---- */

struct watch {
    struct manager_ops ops; /* first: those of every manager of the world */
    const struct manager_ops *inner;
    struct world *w;
    uint8_t id[ID_SIZE], farewell[ID_SIZE];
    bool left, left_late;
};

static bool has_ended(struct manager *m, const uint8_t id[ID_SIZE])
{
    struct table_stripe *stripe = table_lock(m->table, id);
    const struct entry *e = table_find(stripe, id);
    bool ended = e && record_ended(e->record, NULL);

    table_unlock(stripe);
    return ended;
}

static enum rc watched_write(struct manager *m, struct manager_write *w)
{
    struct watch *watch = (struct watch *)m->ops;
    bool first = w->kind == WRITE_CREATE && !watch->left &&
                 id_equal(w->id, watch->farewell);

    for (unsigned i = 0; first && i < watch->w->count; i++)
        watch->left_late |= has_ended(watch->w->m[i], watch->id);
    watch->left |= first;
    return watch->inner->write(m, w);
}

static void watch_begin(struct watch *watch, struct world *w,
                        const uint8_t id[ID_SIZE])
{
    memset(watch, 0, sizeof *watch);
    watch->w = w;
    watch->inner = w->m[0]->ops;
    watch->ops = *watch->inner;
    watch->ops.write = watched_write;
    memcpy(watch->id, id, ID_SIZE);
    farewell_id(id, watch->farewell);
    for (unsigned i = 0; i < w->count; i++)
        w->m[i]->ops = &watch->ops;
}

static void watch_end(struct watch *watch)
{
    for (unsigned i = 0; i < watch->w->count; i++)
        watch->w->m[i]->ops = watch->inner;
}

/* ---- one write, as an instance that knows two managers makes it ---- */

struct asking {
    struct manager_write write; /* first */
    struct changes changes;
    sem_t gate;
    enum rc rc; /* at once */
};

static void write_answered(struct manager_write *w)
{
    sem_post(&((struct asking *)w)->gate);
}

static void ask(struct asking *a, struct world *w, unsigned i,
                enum write_kind kind, const uint8_t id[ID_SIZE])
{
    struct value seven = {.type = VALUE_INT, .number = 7};

    a->write.done = write_answered;
    sem_init(&a->gate, 0, 0);
    changes_init(&a->changes);
    changes_set(&a->changes, key_field(FIELD_BOTH), &seven);
    manager_write_init(&a->write, kind, id, world_now(w, i));
    a->write.changes = &a->changes;
    a->write.reason = REASON_LOGOUT;
    a->write.unmarked = true;
    a->rc = w->m[i]->ops->write(w->m[i], &a->write);
}

static enum rc answer(struct asking *a, struct world *w)
{
    bool waits = a->rc == RC_PENDING;
    while (waits && sem_trywait(&a->gate))
        if (!w->mesh || !mesh_turn(w->mesh))
            sched_yield();
    enum rc rc = waits ? a->write.rc : a->rc;
    manager_write_release(&a->write);
    changes_release(&a->changes);
    sem_destroy(&a->gate);
    return rc;
}

static enum rc mark(struct world *w, unsigned i, const uint8_t id[ID_SIZE])
{
    struct asking a;

    ask(&a, w, i, WRITE_CHANGE, id);
    return answer(&a, w);
}

static void it_ends(struct world *w, unsigned ends, bool login)
{
    unsigned marks = (ends + 1) % w->count;
    uint8_t id[ID_SIZE];
    struct watch watch;
    struct visit v;

    CHECK_INT(world_create(w, 0, id), RC_OK);
    watch_begin(&watch, w, id);
    CHECK_INT_FATAL(visit_find(&v, w, ends, id), RC_OK);
    CHECK_INT(mark(w, marks, id), RC_OK);
    if (login)
        CHECK_INT(session_login(&v.s, "kim", NULL), RC_OK);
    else
        CHECK_INT(session_invalidate(&v.s, REASON_LOGOUT, NULL), RC_OK);
    CHECK_INT(visit_commit(&v, w), RC_OK);
    visit_end(&v);
    CU_ASSERT(watch.left);
    CU_ASSERT(!watch.left_late);
    watch_end(&watch);
    CHECK_INT(world_reason(w, ends, id),
              login ? REASON_RENAMED : REASON_LOGOUT);
    CU_ASSERT(!world_lives(w, id));
}

static void marked_meanwhile_it_says_farewell_first(struct world *w)
{
    world_stay(w);
    for (unsigned i = 0; i < w->count; i++)
        for (int login = 0; login < 2; login++)
            it_ends(w, i, login != 0);
}

STATEMENT_ON(marked_meanwhile_it_says_farewell_first, NULL, standard)
STATEMENT_ON(marked_meanwhile_it_says_farewell_first, NULL, memory)
STATEMENT_ON(marked_meanwhile_it_says_farewell_first, NULL, queued)
STATEMENT_ON(marked_meanwhile_it_says_farewell_first, NULL, sqlite)
STATEMENT_ON(marked_meanwhile_it_says_farewell_first, NULL, file)
STATEMENT_ON(marked_meanwhile_it_says_farewell_first, NULL, delta)
STATEMENT_ON(marked_meanwhile_it_says_farewell_first, NULL, backup)
STATEMENT_ON(marked_meanwhile_it_says_farewell_first, NULL, backup5)

/* They meet on their way: whoever marked it hears of the end, and brings
 * nothing to the other manager. */
static void a_mark_that_meets_an_end_is_told_of_it(struct world *w)
{
    struct asking marks, ends;
    uint8_t id[ID_SIZE];

    world_stay(w);
    CHECK_INT(world_create(w, 0, id), RC_OK);
    for (unsigned i = 0; i < w->count; i++)
        CHECK_INT(world_look(w, i, id, NULL), RC_OK);
    mesh_hold(w->mesh, true);
    ask(&ends, w, 0, WRITE_END, id);
    ask(&marks, w, 1, WRITE_CHANGE, id);
    mesh_deliver(w->mesh, NULL);
    CHECK_INT(answer(&ends, w), RC_OK);
    CHECK_INT(answer(&marks, w), RC_ENDED);
}

STATEMENT_ON(a_mark_that_meets_an_end_is_told_of_it, NULL, delta)

UNIT_MAIN("parting", CASE(marked_meanwhile_it_says_farewell_first_on_standard),
          CASE(marked_meanwhile_it_says_farewell_first_on_memory),
          CASE(marked_meanwhile_it_says_farewell_first_on_queued),
          CASE(marked_meanwhile_it_says_farewell_first_on_sqlite),
          CASE(marked_meanwhile_it_says_farewell_first_on_file),
          CASE(marked_meanwhile_it_says_farewell_first_on_delta),
          CASE(marked_meanwhile_it_says_farewell_first_on_backup),
          CASE(marked_meanwhile_it_says_farewell_first_on_backup5),
          CASE(a_mark_that_meets_an_end_is_told_of_it_on_delta))
