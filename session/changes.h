/* SPDX-License-Identifier: Apache-2.0
 *
 * changes.h: what one request did to a session.
 *
 * What    At most one entry per key, the last word on it: set, remove, or add
 *         (an add after a set or a remove of the same request becomes a set of
 *         a counter). At the end of the request the changes become one delta
 *         (record_delta) and get their stamp.
 *         A key is an attribute's name or a field of the record (record.h).
 * Owns    Copies of names and values; they stay where they are until
 *         changes_release, also when they are replaced: what a servlet was
 *         given stays valid until its request ends.
 * Errors  Never; the limits are the caller's (session.h).
 * Threads None: one request. */
#ifndef MARGAY_SESSION_CHANGES_H
#define MARGAY_SESSION_CHANGES_H

#include "session/value.h"

#include <string.h>

enum change_kind { CHANGE_SET, CHANGE_REMOVE, CHANGE_ADD };

/* Attribute: name is not NULL. Field: name is NULL, field its number. */
struct key {
    const char *name;
    uint32_t len;
    int32_t field;
};

struct change {
    struct change *next;
    struct key key;
    enum change_kind kind;
    struct value value;   /* SET; of type COUNTER: number is where it begins */
    uint64_t plus, minus; /* ADD: both add up */
};

#define CHANGES_INLINE 384 /* bytes that need no allocation */

struct changes {
    struct change *first, *last;
    struct changes_block *blocks;
    size_t bytes; /* of names and values, for the size limit */
    size_t inline_used;
    max_align_t inline_data[CHANGES_INLINE / sizeof(max_align_t)];
};

void changes_init(struct changes *c);
void changes_release(struct changes *c);
/* The same entries with memory of their own. */
void changes_copy(struct changes *to, const struct changes *from);
/* Memory that lasts as long as the changes: a copy of the bytes, a 0 after. */
const char *changes_keep(struct changes *c, const char *bytes, size_t len);
static inline bool changes_empty(const struct changes *c)
{
    return c->first == 0;
}

/* The entry of a key, or NULL. */
struct change *changes_find(const struct changes *c, struct key key);
void changes_set(struct changes *c, struct key key, const struct value *value);
void changes_remove(struct changes *c, struct key key);
void changes_add(struct changes *c, struct key key, int64_t amount);
/* Forgets all entries (they were published), keeps the memory that they
 * pointed to until changes_release. */
void changes_clear(struct changes *c);

static inline struct key key_name(const char *name, size_t len)
{
    return (struct key){.name = name, .len = (uint32_t)len};
}
static inline struct key key_field(int32_t field)
{
    return (struct key){.field = field};
}
/* Fields by number before attributes by name (bytes, shorter first). */
static inline int key_compare(struct key a, struct key b)
{
    if (!a.name || !b.name) {
        if (a.name || b.name)
            return a.name ? 1 : -1;
        return a.field < b.field ? -1 : a.field > b.field;
    }
    int order = memcmp(a.name, b.name, a.len < b.len ? a.len : b.len);
    if (order == 0)
        return a.len < b.len ? -1 : a.len > b.len;
    return order;
}

#endif
