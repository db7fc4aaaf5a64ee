/* SPDX-License-Identifier: Apache-2.0
 *
 * site.h: a connector with one application, made by hand in this process.
 *
 * What    A test gives its servlets as C structs; the manager is a real one
 *         over a table, whose answers the test can hold back: at once, later
 *         from another thread, before the question has returned, or only when
 *         the test says so.
 * Time    Nothing ticks by itself: site_tick plays the instance's loop, at any
 *         moment that the test likes.
 * Owns    A call keeps what it was answered until call_free.
 * Threads A call runs in a thread of its own; its answer is there once
 *         call_wait returned. */
#ifndef MARGAY_TESTS_SITE_H
#define MARGAY_TESTS_SITE_H

#include "container/connector.h"
#include "container/instance.h"
#include "container/servlet.h"

#include <stdbool.h>

struct site_servlet {
    const char *pattern;
    servlet_service_fn *service; /* NULL: the static files */
    enum session_wish wish;
    bool async;
};

enum site_when {
    SITE_AT_ONCE,
    SITE_LATER, /* PENDING, answered by another thread soon */
    SITE_EARLY, /* answered by another thread before the question returns */
    SITE_HELD   /* PENDING until site_release */
};

struct site {
    struct instance in;
    struct context context;
    struct connector_options options;
    struct connector *connector;
    struct helper *helper; /* the thread that answers */
    void *manager_options;
    unsigned port;
};

/* path: of the application, "" or "/app". Its files lie in doc_base, which may
 * be NULL. The options are Tomcat's, with two threads; change them between
 * site_new and site_start. servlets: ended by a row without a pattern. */
struct site *site_new(const char *path, const char *doc_base,
                      const struct site_servlet *servlets);
void site_start(struct site *s);
/* Releases what is held, stops, frees. */
void site_free(struct site **s);

void site_when(struct site *s, enum site_when finds, enum site_when writes);
unsigned site_held(struct site *s);
void site_release(struct site *s);
/* The manager answers UNAVAILABLE, so many writes until now. */
void site_break(struct site *s, bool finds, bool writes);
unsigned site_broken(struct site *s);
/* connector_tick, as if it were that much later. */
void site_tick(struct site *s, int64_t ms_later);
/* Waits until *value() is that; false after 20 s. */
bool site_until(struct site *s, unsigned (*value)(struct site *s),
                unsigned expected);
unsigned site_waiting(struct site *s);

struct call {
    int status; /* 0: none; problem says why */
    int problem;
    char *head, *body;
    size_t head_len, body_len;
    double seconds;
    struct call_work *work;
};

/* GET path. header: one line more, or NULL. form: POST with it, or NULL. */
struct call *call_start(struct site *s, const char *path, const char *header,
                        const char *form);
/* Waits for the answer and returns the status. */
int call_wait(struct call *c);
void call_free(struct call **c);
/* Both, at once. */
struct call *site_get(struct site *s, const char *path, const char *header);
/* The n-th value of a header of the answer, or NULL; valid until the next. */
const char *call_header(struct call *c, const char *name, unsigned n);
/* Sends the bytes and reads until the server closes. Returns the text. */
char *site_raw(struct site *s, const char *bytes, size_t len);

/* A client that does not wait: connects, sends a GET with one header line more,
 * goes. slam: the kernel tells the server of a reset. */
int site_dial(struct site *s);
void site_ask(int fd, const char *path, const char *header);
void site_hang_up(int fd, bool slam);
/* For a client's own rhythm, never to wait for something. ms < 1000. */
void site_pause(int ms);

#endif
