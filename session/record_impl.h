/* SPDX-License-Identifier: Apache-2.0
 *
 * record_impl.h: the inside of a record, for record.c, record_merge.c and
 * record_delta.c only.
 *
 * The block (docs/stored-form.md):
 *     [1, kind, whole, id, birth, nodes, registers]
 * id is bin16, so it stands at a fixed place; nodes is a bin of 8-byte numbers
 * (big endian), sorted; registers is a flat array of five per register:
 *     key, type, time - birth (nil: era 0), index of the node (or nil), value
 * sorted by key. A counter's value is [base, node, plus, minus, ...], sorted by
 * node. */
#ifndef MARGAY_SESSION_RECORD_IMPL_H
#define MARGAY_SESSION_RECORD_IMPL_H

#include "session/pack.h"
#include "session/record.h"

#define RECORD_FORMAT 1
#define RECORD_ID_AT 6
#define RECORD_BIRTH_AT 22

/* Births and stamps lie in 0..this, whatever bytes from outside say: far from
 * the ends of int64, so that no difference of two overflows. */
#define RECORD_TIME_MAX (INT64_MAX / 4)

/* Types of registers beyond enum value_type. */
#define TYPE_REMOVED 0
#define TYPE_END 7 /* value: [reason, new id or nil] */

struct reg {
    struct key key;
    uint8_t type;
    bool never_set; /* a counter of era 0 */
    int64_t time;
    uint64_t node;
    const uint8_t *value; /* MessagePack */
    uint32_t value_len;
    const uint8_t *nodes; /* of the record it stands in: slots refer to it */
    size_t node_count;
    const uint8_t *raw; /* all of it as it stands there, up to its value's end;
                           NULL: it stands nowhere */
    int64_t birth;      /* of the record it stands in */
    const struct reg *other; /* merged: slots of the same era to join with */
};

struct walk {
    struct pack_reader r;
    const uint8_t *nodes;
    size_t node_count;
    int64_t birth;
    uint32_t left; /* registers */
};

struct head {
    uint32_t kind;
    bool whole;
    uint8_t id[ID_SIZE];
    int64_t birth;
};

/* false: not a record. */
bool walk_bytes(struct walk *w, struct head *head, const uint8_t *bytes,
                size_t len);
void walk_record(struct walk *w, struct head *head, const struct record *r);
/* The next register; false: no more (left is 0) or not a record. */
bool walk_next(struct walk *w, struct reg *reg);
uint64_t node_at(const uint8_t *nodes, size_t index);

/* One slot of a counter. */
struct slot {
    uint64_t node, plus, minus;
};
struct slots {
    struct pack_reader r;
    const uint8_t *nodes;
    size_t left;
    int64_t base;
};
/* For a removed register or one that is no counter: base 0, no slots. */
void slots_begin(struct slots *s, const struct reg *reg);
bool slots_next(struct slots *s, struct slot *out);

/* Writes a record in canonical form. Registers sorted by key. */
struct record *record_build(const struct head *head, const struct reg *regs,
                            size_t count);

/* A growing row of registers that starts on the stack. */
#define REGS_INLINE 24
struct regs {
    struct reg *items;
    size_t count, cap;
    struct reg first[REGS_INLINE];
};
void regs_init(struct regs *r);
void regs_release(struct regs *r);
struct reg *regs_add(struct regs *r);
/* The registers of a record; they refer to it. */
void regs_read(struct regs *regs, struct head *head, const struct record *r);
/* The join of two sorted rows, neither of them a tombstone's. */
void regs_merge(struct regs *out, const struct regs *a, const struct regs *b);
/* Of attributes: the RECORD_USER_SESSIONS with the highest stamps. */
void regs_keep_newest(struct regs *r);

#endif
