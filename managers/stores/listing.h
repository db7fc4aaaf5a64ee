/* SPDX-License-Identifier: Apache-2.0
 *
 * listing.h: the ids of a page, for stores that list.
 *
 * What    Where the store has no order of its own: it offers every id that it
 *         comes by, and the page keeps the smallest ones behind its cursor.
 *         However many there are, memory is that of one page.
 * Owns    The page's ids belong to whoever asked for it.
 * Threads The store's. */
#ifndef MARGAY_MANAGERS_STORES_LISTING_H
#define MARGAY_MANAGERS_STORES_LISTING_H

#include "session/store.h"

#include <stdbool.h>
#include <stdint.h>

/* The next id of the page, whatever its order. */
void page_add(struct store_page *page, const uint8_t id[16]);

/* Is it behind the cursor? */
bool page_wants(const struct store_page *page, const uint8_t id[16]);
void page_offer(struct store_page *page, const uint8_t id[16]);
bool page_is_full(const struct store_page *page);
/* Sorts them and moves the cursor behind the last one. A full page: there may
 * be more. */
void page_end(struct store_page *page);

#endif
