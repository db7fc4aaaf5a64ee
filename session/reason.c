/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "session/reason.h"

static const char *const reason_texts[REASON_COUNT] = {
#define X(name, number, text) [number] = text,
    REASON_LIST(X)
#undef X
};

const char *reason_text(enum reason reason)
{
    return (unsigned)reason < REASON_COUNT ? reason_texts[reason]
                                           : reason_texts[REASON_UNKNOWN];
}
