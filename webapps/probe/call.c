/* SPDX-License-Identifier: Apache-2.0 */
#include "webapps/probe/call.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { SLEEP_MAX_MS = 10000, BYTES_MAX = 4096 };

/* ---- arguments ---- */

/* absent: the number when no text is given. False: no number. */
static bool parse_int(const char *text, int64_t absent, int64_t *number)
{
    char *end = NULL;

    *number = absent;
    if (!text)
        return true;
    errno = 0;
    *number = strtoll(text, &end, 10);
    return end != text && !*end && errno == 0;
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

static bool parse_hex(const char *text, char bytes[static BYTES_MAX],
                      size_t *len)
{
    size_t digits = strlen(text);

    if (digits % 2 || digits / 2 > BYTES_MAX)
        return false;
    for (size_t i = 0; i < digits; i += 2) {
        int high = hex_digit(text[i]);
        int low = hex_digit(text[i + 1]);

        if (high < 0 || low < 0)
            return false;
        bytes[i / 2] = (char)(high << 4 | low);
    }
    *len = digits / 2;
    return true;
}

/* bytes: room for what value points to. */
static bool parse_value(const char *type, const char *text,
                        char bytes[static BYTES_MAX],
                        struct http_session_value *value)
{
    char *end = NULL;

    value->data = text;
    value->len = strlen(text);
    if (!type || strcmp(type, "string") == 0) {
        value->type = HTTP_SESSION_STRING;
        return true;
    }
    if (strcmp(type, "bytes") == 0) {
        value->type = HTTP_SESSION_BYTES;
        value->data = bytes;
        return parse_hex(text, bytes, &value->len);
    }
    if (strcmp(type, "bool") == 0) {
        value->type = HTTP_SESSION_BOOL;
        value->truth = strcmp(text, "true") == 0;
        return value->truth || strcmp(text, "false") == 0;
    }
    if (strcmp(type, "double") == 0) {
        value->type = HTTP_SESSION_DOUBLE;
        value->real = strtod(text, &end);
        return end != text && !*end;
    }
    value->type = HTTP_SESSION_INT;
    if (strcmp(type, "counter") == 0)
        value->type = HTTP_SESSION_COUNTER;
    else if (strcmp(type, "int") != 0)
        return false;
    return parse_int(text, 0, &value->number);
}

static void print_value(struct json *json,
                        const struct http_session_value *value)
{
    static const char *const types[] = {"none",   "string", "bytes",  "int",
                                        "double", "bool",   "counter"};

    json_string(json, "type", types[value->type]);
    switch (value->type) {
    case HTTP_SESSION_STRING:
        json_text(json, "value", value->data, value->len);
        break;
    case HTTP_SESSION_BYTES:
        json_hex(json, "value", value->data, value->len);
        break;
    case HTTP_SESSION_INT:
    case HTTP_SESSION_COUNTER:
        json_int(json, "value", value->number);
        break;
    case HTTP_SESSION_DOUBLE:
        json_double(json, "value", value->real);
        break;
    case HTTP_SESSION_BOOL:
        json_bool(json, "value", value->truth);
        break;
    case HTTP_SESSION_NONE:
        json_string(json, "value", NULL);
        break;
    }
}

/* ---- the calls ---- */

static enum http_result run_session(struct call *call, bool create)
{
    struct http_session *session = http_request_session(call->request, create);

    if (!session)
        return HTTP_NO_SESSION;
    call->session = session;
    json_string(&call->json, "id", http_session_id(session));
    json_bool(&call->json, "new", http_session_is_new(session));
    return HTTP_OK;
}

static enum http_result run_create(struct call *call)
{
    return run_session(call, true);
}

static enum http_result run_find(struct call *call)
{
    return run_session(call, false);
}

static enum http_result run_get(struct call *call)
{
    struct http_session_value value;

    if (!call->session)
        return HTTP_NO_SESSION;
    value = http_session_get(call->session, call->args[0]);
    print_value(&call->json, &value);
    return HTTP_OK;
}

static enum http_result run_set(struct call *call)
{
    struct http_session_value value = {0};
    char bytes[BYTES_MAX];

    if (!call->session)
        return HTTP_NO_SESSION;
    if (!call->args[1] ||
        !parse_value(call->args[2], call->args[1], bytes, &value))
        return HTTP_INVALID;
    return http_session_set(call->session, call->args[0], &value);
}

static enum http_result run_add(struct call *call)
{
    enum http_result result;
    int64_t amount;
    int64_t value = 0;

    if (!call->session)
        return HTTP_NO_SESSION;
    if (!parse_int(call->args[1], 1, &amount))
        return HTTP_INVALID;
    result = http_session_add(call->session, call->args[0], amount, &value);
    if (result == HTTP_OK)
        json_int(&call->json, "value", value);
    return result;
}

static enum http_result run_remove(struct call *call)
{
    return call->session ? http_session_remove(call->session, call->args[0])
                         : HTTP_NO_SESSION;
}

static void print_attribute_name(void *user, const char *name)
{
    json_string(user, NULL, name);
}

static enum http_result run_names(struct call *call)
{
    if (!call->session)
        return HTTP_NO_SESSION;
    json_open(&call->json, "names", '[');
    http_session_names(call->session, print_attribute_name, &call->json);
    json_close(&call->json, ']');
    return HTTP_OK;
}

static enum http_result run_max_inactive(struct call *call)
{
    enum http_result result = HTTP_OK;
    int64_t seconds;

    if (!call->session)
        return HTTP_NO_SESSION;
    if (!parse_int(call->args[0], 0, &seconds))
        return HTTP_INVALID;
    if (call->args[0])
        result = http_session_set_max_inactive(call->session, seconds);
    json_int(&call->json, "maxInactive",
             http_session_max_inactive(call->session));
    return result;
}

static enum http_result run_change_id(struct call *call)
{
    enum http_result result = http_request_change_session_id(call->request);

    if (result == HTTP_OK)
        result = run_session(call, false);
    return result;
}

static enum http_result run_login(struct call *call)
{
    struct http_session *session = NULL;
    enum http_result result =
        http_session_login(call->request, call->args[0], &session);

    if (result != HTTP_OK)
        return result;
    call->session = session;
    json_string(&call->json, "id", http_session_id(session));
    json_string(&call->json, "user", http_session_user(session));
    return HTTP_OK;
}

static enum http_result run_flush(struct call *call)
{
    if (!call->session)
        return HTTP_NO_SESSION;
    http_session_flush(call->session);
    return HTTP_OK;
}

static enum http_result run_invalidate(struct call *call)
{
    return call->session ? http_session_invalidate(call->session)
                         : HTTP_NO_SESSION;
}

static enum http_result run_encode(struct call *call)
{
    bool redirect = call->args[1] && strcmp(call->args[1], "true") == 0;

    if (!call->args[0])
        return HTTP_INVALID;
    json_string(
        &call->json, "url",
        redirect
            ? http_response_encode_redirect_url(call->response, call->args[0])
            : http_response_encode_url(call->response, call->args[0]));
    return HTTP_OK;
}

static enum http_result run_sleep(struct call *call)
{
    struct timespec left;
    int64_t ms;

    if (!parse_int(call->args[0], 100, &ms) || ms < 0 || ms > SLEEP_MAX_MS)
        return HTTP_INVALID;
    left.tv_sec = (time_t)(ms / 1000);
    left.tv_nsec = (long)(ms % 1000) * 1000000;
    while (nanosleep(&left, &left) != 0 && errno == EINTR)
        ;
    json_int(&call->json, "ms", ms);
    return HTTP_OK;
}

static void print_session(struct json *json, const struct http_session *session)
{
    if (!session) {
        json_string(json, "session", NULL);
        return;
    }
    json_open(json, "session", '{');
    json_string(json, "id", http_session_id(session));
    json_bool(json, "new", http_session_is_new(session));
    json_int(json, "created", http_session_creation_time(session));
    json_int(json, "lastAccessed", http_session_last_accessed_time(session));
    json_int(json, "maxInactive", http_session_max_inactive(session));
    json_int(json, "maxLifetime", http_session_max_lifetime(session));
    json_string(json, "user", http_session_user(session));
    json_close(json, '}');
}

static enum http_result run_info(struct call *call)
{
    struct http_request *request = call->request;
    const struct servlet_context *context = http_request_context(request);
    struct json *json = &call->json;

    json_string(json, "node", servlet_context_node(context));
    json_string(json, "manager", servlet_context_manager(context));
    print_session(json, http_request_session(request, false));
    json_string(json, "held",
                !call->session                         ? "none"
                : http_session_is_valid(call->session) ? "valid"
                                                       : "ended");
    json_string(json, "reason", http_request_session_reason(request));
    json_string(json, "requestedId",
                http_request_requested_session_id(request));
    json_bool(json, "fromCookie", http_request_session_id_from_cookie(request));
    json_bool(json, "fromUrl", http_request_session_id_from_url(request));
    return HTTP_OK;
}

const struct call_kind call_kinds[] = {
    {"info", {NULL}, run_info, "what the request and its session are"},
    {"create", {NULL}, run_create, "getSession(true)"},
    {"session", {NULL}, run_find, "getSession(false)"},
    {"get", {"name"}, run_get, "getAttribute"},
    {"set",
     {"name", "value", "type"},
     run_set,
     "setAttribute; type: string bytes(hex) int double bool counter"},
    {"add", {"name", "amount"}, run_add, "adds to a counter"},
    {"remove", {"name"}, run_remove, "removeAttribute"},
    {"names", {NULL}, run_names, "getAttributeNames"},
    {"max-inactive",
     {"seconds"},
     run_max_inactive,
     "get or set MaxInactiveInterval; 0: never"},
    {"change-id", {NULL}, run_change_id, "changeSessionId"},
    {"login", {"user"}, run_login, "records a user, gives a new id"},
    {"flush", {NULL}, run_flush, "publishes the changes so far"},
    {"invalidate", {NULL}, run_invalidate, "invalidate"},
    {"encode",
     {"url", "redirect"},
     run_encode,
     "encodeURL; redirect=true: encodeRedirectURL"},
    {"sleep", {"ms"}, run_sleep, "a long request; 100 ms unless said"},
    {NULL, {NULL}, NULL, NULL},
};

const struct call_kind *call_find(const char *name)
{
    for (const struct call_kind *kind = call_kinds; kind->name; kind++)
        if (strcmp(kind->name, name) == 0)
            return kind;
    return NULL;
}

void call_init(struct call *call, struct http_request *request,
               struct http_response *response)
{
    *call = (struct call){
        .request = request,
        .response = response,
        .session = http_request_session(request, false),
        .json = {.out = response},
    };
}

enum http_result call_run(struct call *call, const struct call_kind *kind)
{
    static const char *const names[] = {
        [HTTP_OK] = "ok",           [HTTP_ILLEGAL] = "illegal",
        [HTTP_INVALID] = "invalid", [HTTP_TOO_BIG] = "too-big",
        [HTTP_NO_SESSION] = "none", [HTTP_NOT_FOUND] = "not-found",
    };
    enum http_result result;

    json_open(&call->json, NULL, '{');
    json_string(&call->json, "do", kind->name);
    result = kind->run(call);
    json_string(&call->json, "result", names[result]);
    if (result != HTTP_OK)
        json_string(&call->json, "text", http_result_text(result));
    if (result == HTTP_NO_SESSION)
        json_string(&call->json, "reason",
                    http_request_session_reason(call->request));
    json_close(&call->json, '}');
    return result;
}
