/* SPDX-License-Identifier: Apache-2.0
 *
 * notes.h: warnings while a configuration is read.
 *
 * What    One line each, "FILE:LINE: what and what to do", to whoever reads:
 *         main.c prints them, tests collect them.
 * Owns    Nothing; the line is valid during the call.
 * Threads The sink is called in the thread that reads. */
#ifndef MARGAY_CONTAINER_NOTES_H
#define MARGAY_CONTAINER_NOTES_H

struct xml_element;

typedef void notes_fn(void *user, const char *line);

struct notes {
    notes_fn *warn; /* NULL: nobody wants to know */
    void *user;
};

/* at: where; NULL: no place. notes may be NULL. */
void notes_warn(const struct notes *notes, const struct xml_element *at,
                const char *format, ...) __attribute__((format(printf, 3, 4)));

#endif
