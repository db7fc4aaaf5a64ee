/* SPDX-License-Identifier: Apache-2.0
 *
 * probe.c: every HttpSession call over HTTP, and the log of the listeners.
 *
 *     /probe/                 what there is
 *     /probe/set?name=a&value=1&type=int
 *     /probe/script?do=create,set:a:1,invalidate,create,info
 *     /probe/events[?clear=true]
 *
 * All answers are JSON. A call that the server refuses answers with a status
 * that says why; in a script the steps go on. Steps are parted by commas and
 * their arguments by colons, so neither can stand in an argument there. */
#include "webapps/probe/call.h"
#include "webapps/probe/journal.h"

#include <stdlib.h>
#include <string.h>

enum { SCRIPT_MAX = 4096, STEPS_MAX = 64 };

/* Addresses are numeric, so the beginning decides. */
static bool is_loopback(const char *address)
{
    return strncmp(address, "127.", 4) == 0 || strcmp(address, "::1") == 0 ||
           strncmp(address, "::ffff:127.", 11) == 0;
}

static void answer_error(struct http_response *response, int status,
                         const char *text)
{
    struct json json = {.out = response};

    http_response_set_status(response, status);
    json_open(&json, NULL, '{');
    json_string(&json, "error", text);
    json_close(&json, '}');
    http_response_print(response, "\n");
}

/* False: a stranger, and the answer is complete. */
static bool begin(struct http_request *request, struct http_response *response)
{
    http_response_set_content_type(response, "application/json");
    http_response_set_header(response, "Cache-Control", "no-store");
    if (is_loopback(http_request_remote_addr(request)))
        return true;
    answer_error(response, 403, "the probe answers loopback only");
    return false;
}

static int status_of(enum http_result result)
{
    static const int status[] = {
        [HTTP_OK] = 200,      [HTTP_ILLEGAL] = 409,    [HTTP_INVALID] = 400,
        [HTTP_TOO_BIG] = 413, [HTTP_NO_SESSION] = 401, [HTTP_NOT_FOUND] = 404,
    };

    return status[result];
}

static bool is_true(const struct http_request *request, const char *name)
{
    const char *value = http_request_param(request, name);

    return value && strcmp(value, "true") == 0;
}

/* ---- one call ---- */

static void call_service(struct http_request *request,
                         struct http_response *response)
{
    const char *path = http_request_servlet_path(request);
    const struct call_kind *kind;
    struct call call;

    if (!begin(request, response))
        return;
    kind = call_find(*path == '/' ? path + 1 : path);
    if (!kind) {
        answer_error(response, 404, "there is no such call: see /probe/");
        return;
    }
    call_init(&call, request, response);
    for (size_t i = 0; i < CALL_ARGS && kind->args[i]; i++)
        call.args[i] = http_request_param(request, kind->args[i]);
    http_response_set_status(response, status_of(call_run(&call, kind)));
    http_response_print(response, "\n");
}

/* ---- several in one request ---- */

/* Cuts text at the first separator; the rest, or NULL. */
static char *cut(char *text, char separator)
{
    char *end = strchr(text, separator);

    if (!end)
        return NULL;
    *end = '\0';
    return end + 1;
}

static void run_step(struct call *call, char *step)
{
    char *next = cut(step, ':');
    const struct call_kind *kind = call_find(step);

    for (size_t i = 0; i < CALL_ARGS; i++) {
        call->args[i] = next;
        if (next)
            next = cut(next, ':');
    }
    if (kind) {
        call_run(call, kind);
        return;
    }
    json_open(&call->json, NULL, '{');
    json_string(&call->json, "do", step);
    json_string(&call->json, "result", "unknown");
    json_close(&call->json, '}');
}

static void script_service(struct http_request *request,
                           struct http_response *response)
{
    const char *text = http_request_param(request, "do");
    char steps[SCRIPT_MAX + 1];
    struct call call;
    char *step = steps;

    if (!begin(request, response))
        return;
    if (!text || strlen(text) > SCRIPT_MAX) {
        answer_error(response, 400,
                     "do=STEP,STEP:ARGUMENT,... of at most 4096 bytes");
        return;
    }
    memcpy(steps, text, strlen(text) + 1);
    call_init(&call, request, response);
    json_open(&call.json, NULL, '[');
    for (int i = 0; step && i < STEPS_MAX; i++) {
        char *next = cut(step, ',');

        run_step(&call, step);
        step = next;
    }
    json_close(&call.json, ']');
    http_response_print(response, "\n");
}

/* ---- what the listeners heard ---- */

static void print_entry(struct json *json, const struct journal_entry *entry)
{
    json_open(json, NULL, '{');
    json_int(json, "seq", entry->seq);
    json_string(json, "listener", entry->listener);
    json_string(json, "event", entry->event);
    json_string(json, "session", entry->session);
    if (*entry->name) {
        json_string(json, "name", entry->name);
        json_string(json, "value", entry->value);
    }
    if (strcmp(entry->event, "destroyed") == 0)
        json_string(json, "reason", entry->detail);
    else if (*entry->detail)
        json_string(json, "old", entry->detail);
    json_close(json, '}');
}

static void events_service(struct http_request *request,
                           struct http_response *response)
{
    struct journal *journal =
        servlet_context_state(http_request_context(request));
    struct json json = {.out = response};
    struct journal_entry entry;
    const char *since = http_request_param(request, "since");

    if (!begin(request, response))
        return;
    entry.seq = since ? strtoll(since, NULL, 10) : 0;
    if (entry.seq < 0)
        entry.seq = 0;
    json_open(&json, NULL, '[');
    while (journal_next(journal, entry.seq, &entry))
        print_entry(&json, &entry);
    json_close(&json, ']');
    http_response_print(response, "\n");
    if (is_true(request, "clear"))
        journal_clear(journal);
}

/* ---- what there is ---- */

static void index_service(struct http_request *request,
                          struct http_response *response)
{
    struct json json = {.out = response};

    if (!begin(request, response))
        return;
    json_open(&json, NULL, '[');
    for (const struct call_kind *kind = call_kinds; kind->name; kind++) {
        json_open(&json, NULL, '{');
        json_string(&json, "do", kind->name);
        json_open(&json, "args", '[');
        for (size_t i = 0; i < CALL_ARGS && kind->args[i]; i++)
            json_string(&json, NULL, kind->args[i]);
        json_close(&json, ']');
        json_string(&json, "what", kind->summary);
        json_close(&json, '}');
        http_response_print(response, "\n");
    }
    json_close(&json, ']');
    http_response_print(response, "\n");
}

const struct servlet probe_call = {.service = call_service,
                                   .abi = MARGAY_SERVLET_ABI};
const struct servlet probe_script = {.service = script_service,
                                     .abi = MARGAY_SERVLET_ABI};
const struct servlet probe_events = {.service = events_service,
                                     .abi = MARGAY_SERVLET_ABI};
const struct servlet probe_index = {.service = index_service,
                                    .abi = MARGAY_SERVLET_ABI};
