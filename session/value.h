/* SPDX-License-Identifier: Apache-2.0
 *
 * value.h: what an attribute can hold.
 *
 * What    Values are copies: the only way to change a session is to set, add
 *         or remove, and each of these is seen. A counter is an int64 to which
 *         parallel requests add without losing one another (record.h).
 * Owns    data is borrowed from where the value was read.
 * Threads Plain data. */
#ifndef MARGAY_SESSION_VALUE_H
#define MARGAY_SESSION_VALUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The numbers stand in stored records: never reused. */
enum value_type {
    VALUE_NONE = 0, /* absent, removed */
    VALUE_STRING = 1,
    VALUE_BYTES = 2,
    VALUE_INT = 3,
    VALUE_DOUBLE = 4,
    VALUE_BOOL = 5,
    VALUE_COUNTER = 6
};

struct value {
    enum value_type type;
    const char *data; /* STRING, BYTES */
    size_t len;
    int64_t number; /* INT, COUNTER */
    double real;
    bool truth;
};

/* Bytes of the value itself, about: for size limits. */
static inline size_t value_room(const struct value *v)
{
    return v->type == VALUE_STRING || v->type == VALUE_BYTES ? v->len : 8;
}

/* Does a value with that room make more of a session than what stands there?
 * add: a counter goes on. */
static inline bool value_is_larger(const struct value *old, size_t room,
                                   bool add)
{
    if (old->type == VALUE_NONE)
        return true;
    return add ? old->type != VALUE_COUNTER : room > value_room(old);
}

#endif
