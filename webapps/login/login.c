/* SPDX-License-Identifier: Apache-2.0
 *
 * login.c: the sample application. Each path is one servlet; web.xml says
 * which, and what it wishes of the session. */
#include "container/servlet.h"
#include "webapps/login/page.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { GET = 1, POST = 2 };
enum { KEY_MAX = 200, FILL_LEN = 100 };

static void answer(struct http_request *request, struct http_response *response,
                   int status, const char *text, const char *title)
{
    struct page page = {.status = status, .text = text, .title = title};

    page_send(request, response, &page);
}

/* False: the method was wrong and the answer is complete. */
static bool is_allowed(struct http_request *request,
                       struct http_response *response, unsigned methods)
{
    const char *method = http_request_method(request);

    if (strcmp(method, "POST") == 0) {
        if (methods & POST)
            return true;
    } else if (strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0) {
        if (methods & GET)
            return true;
    }
    http_response_set_header(response, "Allow",
                             methods == POST  ? "POST"
                             : methods == GET ? "GET, HEAD"
                                              : "GET, HEAD, POST");
    answer(request, response, 405, "method not allowed",
           "This address is not asked like that");
    return false;
}

/* NULL: nobody is logged in and the answer is complete. */
static struct http_session *session_or_401(struct http_request *request,
                                           struct http_response *response)
{
    struct http_session *session = http_request_session(request, false);

    if (!session)
        page_send_logged_out(request, response);
    return session;
}

/* The session refused: which status tells the client what to do about it. */
static void answer_refused(struct http_request *request,
                           struct http_response *response,
                           enum http_result result)
{
    if (result == HTTP_TOO_BIG)
        answer(request, response, 413,
               "refused: the session would grow over maxSessionBytes",
               "That does not fit into a session");
    else if (result == HTTP_NO_SESSION)
        answer(request, response, 403,
               "refused: there are as many sessions as maxActiveSessions "
               "allows",
               "No session may be made: a limit is reached");
    else if (result == HTTP_ILLEGAL && !http_request_session(request, false))
        page_send_logged_out(request, response);
    else
        answer(request, response, 400, http_result_text(result),
               "The session refused that");
}

static bool has_playground(const struct http_request *request)
{
    const char *value =
        servlet_context_param(http_request_context(request), "playground");

    return !value || strcmp(value, "false") != 0;
}

static bool takes_anyone(const struct servlet_context *context)
{
    const char *value = servlet_context_param(context, "login.anyone");

    return value && strcmp(value, "true") == 0;
}

/* A parameter that is text: NULL when it is absent or holds a 0 byte. */
static const char *text_param(const struct http_request *request,
                              const char *name)
{
    size_t len = 0;
    const char *value = http_request_param_at(request, name, 0, &len);

    return value && strlen(value) == len ? value : NULL;
}

/* ---- who is it? ---- */

/* The user of the session, a guest's too; never NULL. */
static const char *name_of(const struct http_session *session)
{
    const char *user = http_session_user(session);

    if (!user)
        user = http_session_get_string(session, "user");
    return user ? user : "";
}

/* What page_send does for a program, where the text is printed piece by piece.
 */
static void begin_text(struct http_response *response)
{
    http_response_set_content_type(response, "text/plain;charset=UTF-8");
    http_response_set_header(response, "Cache-Control", "no-store");
}

static void page_service(struct http_request *request,
                         struct http_response *response)
{
    const struct servlet_context *context = http_request_context(request);
    const struct http_session *session;

    if (!is_allowed(request, response, GET))
        return;
    if (http_request_wants_html(request)) {
        page_send(request, response, &(struct page){.status = 200});
        return;
    }
    session = http_request_session(request, false);
    begin_text(response);
    http_response_printf(
        response, "%s%s\ninstance=%s\nmanager=%s\n",
        session ? "user=" : "not logged in: ",
        session ? name_of(session) : http_request_session_reason(request),
        servlet_context_node(context), servlet_context_manager(context));
}

static void hello_service(struct http_request *request,
                          struct http_response *response)
{
    struct page page = {.status = 200,
                        .text = "hello",
                        .bare = true,
                        .title = "Hello",
                        .detail = "This page asks nobody for a session, so "
                                  "it does not know who you are."};

    if (is_allowed(request, response, GET))
        page_send(request, response, &page);
}

static void me_service(struct http_request *request,
                       struct http_response *response)
{
    const struct http_session *session;

    if (!is_allowed(request, response, GET))
        return;
    session = session_or_401(request, response);
    if (!session)
        return;
    if (http_request_wants_html(request)) {
        page_send(request, response, &(struct page){.status = 200});
        return;
    }
    begin_text(response);
    http_response_printf(
        response, "user=%s\ninstance=%s\nsession=%s\nhits=%" PRId64 "\n",
        name_of(session), servlet_context_node(http_request_context(request)),
        http_session_id(session), http_session_get_int(session, "hits", 0));
}

/* ---- in and out ---- */

static bool is_yes_or_no(const struct servlet_context *context,
                         const char *name)
{
    const char *value = servlet_context_param(context, name);

    if (!value || strcmp(value, "true") == 0 || strcmp(value, "false") == 0)
        return true;
    servlet_log(context, "error: %s is \"%.50s\": write true or false", name,
                value);
    return false;
}

static bool login_init(const struct servlet_config *config, void **state)
{
    struct servlet_context *context = servlet_config_context(config);

    (void)state;
    if (!is_yes_or_no(context, "login.anyone") ||
        !is_yes_or_no(context, "playground"))
        return false;
    if (takes_anyone(context))
        servlet_log(context, "warning: login.anyone is true: every user name "
                             "is let in with every password; set "
                             "login.anyone=false for anything but load tests "
                             "and demonstrations");
    return true;
}

/* The name is printed as one line of /login/me: no control characters. */
static bool is_name(const char *user)
{
    const unsigned char *c = (const unsigned char *)user;

    while (*c >= ' ' && *c != 0x7f)
        c++;
    return c != (const unsigned char *)user && !*c;
}

static bool is_known(const struct servlet_context *context, const char *user,
                     const char *password)
{
    if (!user || !password || !is_name(user) || !*password)
        return false;
    return takes_anyone(context) ||
           servlet_context_authenticate(context, user, password);
}

static void login_service(struct http_request *request,
                          struct http_response *response)
{
    const char *user = text_param(request, "user");
    const char *password = text_param(request, "password");
    struct http_session *session;
    enum http_result result;
    char target[256];

    if (!is_allowed(request, response, POST))
        return;
    if (!http_request_param(request, "user") ||
        !http_request_param(request, "password")) {
        answer(request, response, 400, "user and password are required",
               "Both fields are needed");
        return;
    }
    if (!is_known(http_request_context(request), user, password)) {
        struct page page = {.status = 401,
                            .text = "wrong user or password",
                            .title = "Wrong user or password",
                            .user = user};

        page_send(request, response, &page);
        return;
    }
    result = http_session_login(request, user, &session);
    if (result != HTTP_OK) {
        answer_refused(request, response, result);
        return;
    }
    snprintf(target, sizeof(target), "%s/me",
             http_request_context_path(request));
    /* An id belongs into a Location only where the client works that way. */
    http_response_send_redirect(
        response,
        http_request_session_id_from_url(request)
            ? http_response_encode_redirect_url(response, target)
            : target,
        303);
}

static void logout_service(struct http_request *request,
                           struct http_response *response)
{
    struct page page = {.status = 200,
                        .text = "bye",
                        .title = "Bye",
                        .detail = "You are logged out, on every instance "
                                  "that knew this session."};
    struct http_session *session;
    enum http_result result;

    if (!is_allowed(request, response, POST))
        return;
    session = session_or_401(request, response);
    if (!session)
        return;
    result = http_session_invalidate(session);
    if (result != HTTP_OK) {
        answer_refused(request, response, result);
        return;
    }
    /* A browser keeps whole pages for its back button, no-store or not, until
     * a cookie changes; that of the session stays: it brings the reason. */
    if (http_request_wants_html(request))
        http_response_set_header(response, "Set-Cookie",
                                 "left=now; Max-Age=1; HttpOnly; SameSite=Lax");
    page_send(request, response, &page);
}

/* ---- something to keep in a session ---- */

static void hit_service(struct http_request *request,
                        struct http_response *response)
{
    struct http_session *session;
    enum http_result result;
    int64_t hits = 0;
    char text[32];
    char title[64];

    if (!is_allowed(request, response, GET | POST))
        return;
    session = session_or_401(request, response);
    if (!session)
        return;
    result = http_session_add(session, "hits", 1, &hits);
    if (result != HTTP_OK) {
        answer_refused(request, response, result);
        return;
    }
    if (!http_request_wants_html(request)) {
        begin_text(response);
        http_response_printf(response, "%" PRId64 "\n", hits);
        return;
    }
    snprintf(text, sizeof(text), "%" PRId64, hits);
    snprintf(title, sizeof(title), "Hit number %" PRId64, hits);
    answer(request, response, 200, text, title);
}

/* The attribute that holds key k: a name of its own, so that a visitor never
 * meets the application's attributes. False: 400 was sent. */
static bool put_name(struct http_request *request,
                     struct http_response *response,
                     char name[static KEY_MAX + 8])
{
    const char *key = text_param(request, "k");

    if (key && *key && strlen(key) <= KEY_MAX) {
        snprintf(name, KEY_MAX + 8, "put.%s", key);
        return true;
    }
    answer(request, response, 400, "k is required: 1 to 200 bytes, no 0 byte",
           "A key is needed");
    return false;
}

static void put_service(struct http_request *request,
                        struct http_response *response)
{
    struct http_session_value value = {.type = HTTP_SESSION_STRING};
    char name[KEY_MAX + 8];
    struct http_session *session;
    enum http_result result;

    if (!is_allowed(request, response, GET | POST))
        return;
    session = session_or_401(request, response);
    if (!session)
        return;
    if (!has_playground(request)) {
        answer(request, response, 404, "the playground is switched off",
               "The playground is switched off");
        return;
    }
    if (!put_name(request, response, name))
        return;
    value.data = http_request_param_at(request, "v", 0, &value.len);
    if (!value.data)
        value.data = "";
    else if (strlen(value.data) != value.len)
        value.type = HTTP_SESSION_BYTES;
    result = http_session_set(session, name, &value);
    if (result == HTTP_OK)
        answer(request, response, 200, "ok", "Kept in your session");
    else
        answer_refused(request, response, result);
}

static void get_service(struct http_request *request,
                        struct http_response *response)
{
    struct http_session_value value;
    char name[KEY_MAX + 8];
    struct http_session *session;

    if (!is_allowed(request, response, GET | POST))
        return;
    session = session_or_401(request, response);
    if (!session || !put_name(request, response, name))
        return;
    value = http_session_get(session, name);
    if (value.type == HTTP_SESSION_STRING || value.type == HTTP_SESSION_BYTES)
        page_send(request, response,
                  &(struct page){.status = 200,
                                 .text = value.len ? value.data : "",
                                 .text_len = value.len,
                                 .title = "Kept under that key"});
    else
        answer(request, response, 404, "no such key",
               "Nothing is kept under that key");
}

/* ---- guests ---- */

/* Seconds; false: no number. */
static bool parse_ttl(const char *text, int64_t *seconds)
{
    char *end = NULL;

    if (!text || *text < '0' || *text > '9')
        return false;
    errno = 0;
    *seconds = strtoll(text, &end, 10);
    return errno == 0 && !*end;
}

static enum http_result fill_guest(struct http_session *session)
{
    char fill[FILL_LEN + 1];
    char user[16];
    enum http_result result;

    memset(fill, '.', FILL_LEN);
    fill[FILL_LEN] = '\0';
    snprintf(user, sizeof(user), "guest-%.4s", http_session_id(session));
    result = http_session_set_string(session, "user", user);
    if (result == HTTP_OK)
        result = http_session_set_string(session, "fill", fill);
    if (result == HTTP_OK)
        result = http_session_set_int(session, "when",
                                      http_session_creation_time(session));
    return result;
}

static void new_service(struct http_request *request,
                        struct http_response *response)
{
    bool has_ttl = http_request_param(request, "ttl") != NULL;
    enum http_result result = HTTP_NO_SESSION;
    struct http_session *session;
    int64_t ttl = 0;

    if (!is_allowed(request, response, GET | POST))
        return;
    if (!has_playground(request)) {
        answer(request, response, 404, "the playground is switched off",
               "The playground is switched off");
        return;
    }
    if (has_ttl && !parse_ttl(text_param(request, "ttl"), &ttl)) {
        answer(request, response, 400, "ttl is a number of seconds",
               "That is not a number of seconds");
        return;
    }
    session = http_request_session(request, true);
    if (session)
        result = fill_guest(session);
    if (session && result == HTTP_OK && has_ttl)
        result = http_session_set_max_inactive(session, ttl);
    if (result == HTTP_OK)
        answer(request, response, 200, "new", "You are a guest now");
    else
        answer_refused(request, response, result);
}

#define SERVLET(name)                                                          \
    const struct servlet login_##name = {.service = name##_service,            \
                                         .abi = MARGAY_SERVLET_ABI}

SERVLET(page);
SERVLET(hello);
SERVLET(me);
SERVLET(hit);
SERVLET(put);
SERVLET(get);
SERVLET(logout);
SERVLET(new);

const struct servlet login_login = {
    .init = login_init, .service = login_service, .abi = MARGAY_SERVLET_ABI};
