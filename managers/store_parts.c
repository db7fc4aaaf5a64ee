/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "managers/store_parts.h"

static void stats_add(struct store_stats *sum, const struct store_stats *part)
{
    sum->get_ok += part->get_ok;
    sum->get_unchanged += part->get_unchanged;
    sum->get_absent += part->get_absent;
    sum->get_failed += part->get_failed;
    sum->put_ok += part->put_ok;
    sum->put_conflict += part->put_conflict;
    sum->put_absent += part->put_absent;
    sum->put_failed += part->put_failed;
    sum->put_uncertain += part->put_uncertain;
    sum->batches += part->batches;
    sum->expired += part->expired;
    sum->queued += part->queued;
    sum->available = sum->available && part->available;
}

void parts_stats(const struct store_base *base, struct store_stats *out)
{
    struct store_stats part;

    *out = (struct store_stats){.available = true};
    for (unsigned i = 0; i < base->part_count; i++) {
        store_stats(base->parts[i], &part);
        stats_add(out, &part);
    }
}
