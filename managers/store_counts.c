/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "managers/store_counts.h"

void counts_get(struct store_counts *c, const struct store_call *call,
                enum rc rc)
{
    if (rc == RC_OK && call->unchanged)
        c->get_unchanged++;
    else if (rc == RC_OK)
        c->get_ok++;
    else if (rc == RC_ABSENT)
        c->get_absent++;
    else
        c->get_failed++;
}

void counts_put(struct store_counts *c, enum rc rc)
{
    if (rc == RC_OK)
        c->put_ok++;
    else if (rc == RC_CONFLICT)
        c->put_conflict++;
    else if (rc == RC_ABSENT)
        c->put_absent++;
    else if (rc == RC_UNCERTAIN)
        c->put_uncertain++;
    else
        c->put_failed++;
}

void counts_show(const struct store_counts *c, struct store_stats *out)
{
    *out = (struct store_stats){
        .get_ok = c->get_ok,
        .get_unchanged = c->get_unchanged,
        .get_absent = c->get_absent,
        .get_failed = c->get_failed,
        .put_ok = c->put_ok,
        .put_conflict = c->put_conflict,
        .put_absent = c->put_absent,
        .put_failed = c->put_failed,
        .put_uncertain = c->put_uncertain,
        .batches = c->batches,
        .expired = c->expired,
        .queued = c->queued,
    };
}
