/* SPDX-License-Identifier: Apache-2.0
 *
 * town.h: instances of a rolling change side by side: some know the old manager
 * only, some both, some the new one only.
 *
 * What    The two managers are PersistentManagers over two memories, but where
 * a test says otherwise; time is the test's. Threads One, beside those of the
 * managers. */
#ifndef MARGAY_TESTS_TOWN_H
#define MARGAY_TESTS_TOWN_H

#include "managers/managers.h"
#include "managers/persistent.h"
#include "managers/stores/stores.h"
#include "managers/succession.h"

#include <pthread.h>
#include <semaphore.h>

#define MINUTE 60000

enum kind { OLD, BOTH, NEW, KINDS };

struct town {
    struct memory_rows *rows[2];
    struct memory_options options[2];
    struct manager_options common, of[2]; /* of the face, and the parts */
    bool standard[2];                     /* that part is a StandardManager */
    struct persistent_options idle[2];    /* of one in an idle mode */
    bool in_idle_mode[2];
    struct failing_options failing[2]; /* of a part with faults */
    struct failing_faults *faults[2];  /* NULL: none */
    struct manager_pair pair;
    struct manager *m[4]; /* OLD, BOTH, NEW, and one more of BOTH */
    struct log log;
    struct instant now;
    char events[1024], lines[4096];
    pthread_mutex_t lock;
};
#define SECOND 3 /* another one of BOTH */

/* by_use: nothing comes over in the background. */
struct town *town_new(bool by_use);
void town_free(struct town *t);
/* Before the first start: */
struct manager_part town_part(struct town *t, int which);
void town_make_standard(struct town *t, int which);
/* Its store fails as the faults say. */
void town_make_fail(struct town *t, int which, struct failing_faults *faults);
/* It may not answer yet. */
void town_begin(struct town *t, int i);
void town_start(struct town *t, int i);
void town_stop(struct town *t, int i);
void town_tick_all(struct town *t);
/* What was begun comes to its end; then so much time passes. */
void town_pass(struct town *t, int64_t ms);

/* ---- requests; each at instance i ---- */

struct town_request {
    struct find_op find;
    struct commit_op commit;
    struct session s;
    sem_t gate;
    struct manager *m;
    enum rc rc;
    enum reason reason;
};

enum rc town_look(struct town_request *r, struct town *t, int i,
                  const uint8_t id[ID_SIZE]);
enum rc town_commit(struct town_request *r, struct town *t);
void town_done(struct town_request *r);
enum rc town_make(struct town *t, int i, uint8_t id[ID_SIZE]);
enum rc town_put(struct town *t, int i, const uint8_t id[ID_SIZE],
                 const char *name, const char *text);
/* Adds 1 to "n". */
enum rc town_add(struct town *t, int i, const uint8_t id[ID_SIZE]);
bool town_says(struct town *t, int i, const uint8_t id[ID_SIZE],
               const char *name, const char *text);
/* How much that is; -1: it is not found. */
int64_t town_count(struct town *t, int i, const uint8_t id[ID_SIZE]);
enum rc town_end(struct town *t, int i, const uint8_t id[ID_SIZE]);
/* As kim; id is the new one then. */
enum rc town_login(struct town *t, int i, uint8_t id[ID_SIZE]);
/* What it is told at that one: NONE is a live session. */
enum reason town_told(struct town *t, int i, const uint8_t id[ID_SIZE]);
/* What a look says that is no use. */
enum rc town_peek(struct town *t, int i, const uint8_t id[ID_SIZE]);

/* One write, as the wrapper would have it. CREATE: the record; END: it goes on
 * as new_id. */
enum rc town_write(struct manager *m, enum write_kind kind,
                   const uint8_t id[ID_SIZE], struct record *record,
                   const uint8_t *new_id, struct instant now);

/* ---- waiting, up to 20 s ---- */

/* Somebody hears of an end. */
bool town_is_told(struct town *t);
/* That one says no more why there is no such session: more than two minutes. */
bool town_forgets(struct town *t, int i, const uint8_t id[ID_SIZE]);
/* That one says how it is with it: its stores are back. */
bool town_answers(struct town *t, int i, const uint8_t id[ID_SIZE]);
/* Somebody writes that into the log. */
bool town_logs(struct town *t, const char *text);
/* That one says that all came over. */
bool town_is_complete(struct town *t, int i);

#endif
