/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "managers/stores/listing.h"
#include "session/buf.h"

#include <stdlib.h>
#include <string.h>

void page_add(struct store_page *page, const uint8_t id[16])
{
    if (page->count == page->room) {
        page->room = page->room ? page->room * 2 : page->limit;
        page->ids = mem_resize(page->ids, page->room * sizeof *page->ids);
    }
    memcpy(page->ids[page->count++], id, 16);
}

bool page_wants(const struct store_page *page, const uint8_t id[16])
{
    return !page->cursor.begun || memcmp(id, page->cursor.at, 16) > 0;
}

bool page_is_full(const struct store_page *page)
{
    return page->count >= page->limit;
}

static bool is_less(struct store_page *page, size_t a, size_t b)
{
    return memcmp(page->ids[a], page->ids[b], 16) < 0;
}

static void swap(struct store_page *page, size_t a, size_t b)
{
    uint8_t kept[16];

    memcpy(kept, page->ids[a], 16);
    memcpy(page->ids[a], page->ids[b], 16);
    memcpy(page->ids[b], kept, 16);
}

/* A heap, the largest first: that one has to go when a smaller one comes. */
static void heap_up(struct store_page *page, size_t i)
{
    for (; i && is_less(page, (i - 1) / 2, i); i = (i - 1) / 2)
        swap(page, (i - 1) / 2, i);
}

static void heap_down(struct store_page *page)
{
    for (size_t i = 0, child; (child = 2 * i + 1) < page->count; i = child) {
        if (child + 1 < page->count && is_less(page, child, child + 1))
            child++;
        if (!is_less(page, i, child))
            return;
        swap(page, i, child);
    }
}

void page_offer(struct store_page *page, const uint8_t id[16])
{
    if (!page_wants(page, id))
        return;
    if (!page_is_full(page)) {
        page_add(page, id);
        heap_up(page, page->count - 1);
    } else if (memcmp(id, page->ids[0], 16) < 0) {
        memcpy(page->ids[0], id, 16);
        heap_down(page);
    }
}

static int compare_ids(const void *a, const void *b)
{
    return memcmp(a, b, 16);
}

void page_end(struct store_page *page)
{
    page->more = page_is_full(page);
    if (!page->count)
        return;
    qsort(page->ids, page->count, sizeof *page->ids, compare_ids);
    page->cursor.begun = true;
    memcpy(page->cursor.at, page->ids[page->count - 1], 16);
}
