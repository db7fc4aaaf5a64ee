/* SPDX-License-Identifier: Apache-2.0 */
#include "webapps/login/page.h"

#include "container/servlet.h"
#include "webapps/login/art.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { HUES = 12 };

struct view {
    struct http_request *request;
    struct http_response *out;
    struct http_session *session; /* NULL: nobody is logged in */
    const char *user;
    bool in_url; /* this client carries the id in its URLs */
};

static const struct {
    const char *reason;
    const char *title;
    const char *sentence;
} reasons[] = {
    {"none", "Who is there?",
     "Nobody is logged in here yet. Log in once, and every instance that "
     "shares your session knows you."},
    {"unknown", "Please log in again",
     "Your browser brought a session that nobody here knows any more. It "
     "ended some time ago, or it was never made here."},
    {"malformed", "Please log in",
     "The session cookie that your browser sent cannot be one of ours, so it "
     "was not looked up at all."},
    {"idle", "You were away for a while",
     "Your session was not used for longer than its idle limit, so it was "
     "closed for your safety."},
    {"lifetime", "Time for a fresh session",
     "Your session reached the greatest age that a session may have here, "
     "however busy it was."},
    {"logout", "You have logged out",
     "You logged out, here, in another window or on another instance."},
    {"admin", "Your session was ended",
     "Somebody who looks after this server ended your session. You are "
     "welcome to log in again."},
    {"replaced", "You logged in somewhere else",
     "A newer login took the place of this session. If that was not you, "
     "change your password."},
    {"evicted", "We had to make room",
     "The server reached its limit of sessions and yours had to go. Nothing "
     "is wrong with your account."},
    {"lost", "Your session was lost",
     "Every server that held your session is gone. That should not happen, "
     "and we are sorry: please log in again."},
};

/* ---- small pieces ---- */

static void print(const struct view *view, const char *text)
{
    http_response_print(view->out, text);
}

static void print_escaped(const struct view *view, const char *text)
{
    http_response_print_html(view->out, text);
}

/* A value may hold 0 bytes, and bytes have no 0 behind them. */
static void print_text(const struct view *view, const struct page *page)
{
    size_t left = page->text_len ? page->text_len : strlen(page->text);
    const char *text = page->text;
    char piece[256];

    while (left > 0) {
        size_t room = left < sizeof(piece) - 1 ? left : sizeof(piece) - 1;
        size_t len = strnlen(text, room);

        memcpy(piece, text, len);
        piece[len] = '\0';
        print_escaped(view, piece);
        if (len < room) {
            print(view, "\xef\xbf\xbd");
            len++;
        }
        text += len;
        left -= len;
    }
}

/* path below the application, as the value of an HTML attribute. */
static void print_url(const struct view *view, const char *path)
{
    char url[256];

    snprintf(url, sizeof(url), "%s%s", http_request_context_path(view->request),
             path);
    print_escaped(view, view->in_url ? http_response_encode_url(view->out, url)
                                     : url);
}

static void print_link(const struct view *view, const char *path,
                       const char *text)
{
    print(view, "<a href=\"");
    print_url(view, path);
    http_response_printf(view->out, "\">%s</a>", text);
}

static void print_form(const struct view *view, const char *method,
                       const char *path)
{
    http_response_printf(view->out, "<form method=\"%s\" action=\"", method);
    print_url(view, path);
    print(view, "\">");
}

static void print_fact(const struct view *view, const char *name,
                       const char *text)
{
    http_response_printf(view->out, "<div><dt>%s</dt><dd>", name);
    print_escaped(view, text);
    print(view, "</dd></div>");
}

/* A whole sentence: below its name, not beside it. */
static void print_manager(const struct view *view, const char *name)
{
    http_response_printf(view->out, "<div class=\"wide\"><dt>%s</dt><dd>",
                         name);
    print_escaped(view,
                  servlet_context_manager(http_request_context(view->request)));
    print(view, "</dd></div>");
}

/* Neighbours in a numbered row (node1, node2, ...) differ most: 5 and HUES
 * have no common divisor. */
static unsigned hue_of(const char *node)
{
    unsigned word = 0;
    unsigned number = 0;

    for (; *node; node++)
        if (*node >= '0' && *node <= '9')
            number = number * 10 + (unsigned)(*node - '0');
        else
            word = word * 31 + (unsigned char)*node;
    return (word % HUES + number % HUES * 5) % HUES;
}

static void format_duration(char *text, size_t size, int64_t seconds)
{
    if (seconds < 120)
        snprintf(text, size, "%" PRId64 " s", seconds);
    else if (seconds < 7200)
        snprintf(text, size, "%" PRId64 " min", seconds / 60);
    else if (seconds < 172800)
        snprintf(text, size, "%" PRId64 " h %" PRId64 " min", seconds / 3600,
                 seconds / 60 % 60);
    else
        snprintf(text, size, "%" PRId64 " days", seconds / 86400);
}

static int64_t age_seconds(const struct http_session *session)
{
    struct timespec now;
    int64_t age;

    clock_gettime(CLOCK_REALTIME, &now);
    age = (int64_t)now.tv_sec - http_session_creation_time(session) / 1000;
    return age > 0 ? age : 0;
}

static size_t reason_find(const char *reason)
{
    for (size_t i = 0; i < sizeof(reasons) / sizeof(*reasons); i++)
        if (strcmp(reasons[i].reason, reason) == 0)
            return i;
    return 0;
}

/* ---- the parts of a page ---- */

static void print_head(const struct view *view, const char *title)
{
    const char *node =
        servlet_context_node(http_request_context(view->request));

    print(view, "<!doctype html>\n<html lang=\"en\"><head>"
                "<meta charset=\"utf-8\">"
                "<meta name=\"viewport\" content=\"width=device-width,"
                "initial-scale=1\">"
                "<meta name=\"color-scheme\" content=\"light dark\"><title>");
    print_escaped(view, title);
    print(view, " &middot; Margay</title><link rel=\"icon\" href=\"");
    print_url(view, "/icon.svg");
    print(view, "\"><link rel=\"stylesheet\" href=\"");
    print_url(view, "/style.css");
    print(view, "\"></head><body><header class=\"top\"><a class=\"brand\" "
                "href=\"");
    print_url(view, "/");
    print(view, "\">");
    print(view, login_cat);
    http_response_printf(view->out,
                         "<span>Margay</span></a>"
                         "<p class=\"badge hue-%u\"><span>answered by</span> "
                         "<b>",
                         hue_of(node));
    print_escaped(view, *node ? node : "this server");
    print(view, "</b></p></header><main>");
}

static void print_foot(const struct view *view, const struct page *page)
{
    print(view, "<details class=\"wire\"><summary>What a program gets here"
                "</summary><pre>");
    http_response_printf(view->out, "HTTP %d\n\n", page->status);
    if (page->text) {
        print_text(view, page);
    } else if (view->session) {
        print(view, "user=");
        print_escaped(view, view->user);
        print(view, "\ninstance=");
        print_escaped(
            view, servlet_context_node(http_request_context(view->request)));
        http_response_printf(view->out, "\nsession=%.6s&hellip;\nhits=%" PRId64,
                             http_session_id(view->session),
                             http_session_get_int(view->session, "hits", 0));
    }
    print(view, "</pre></details></main><footer><nav aria-label=\"More\">");
    print_link(view, "/", "Who am I?");
    print_link(view, "/hello", "A page without a session");
    print(view, "<a href=\"/\">How it works</a>"
                "<a href=\"/probe/info\">Probe</a></nav></footer>"
                "</body></html>\n");
}

static void print_notice(const struct view *view, const struct page *page,
                         const char *title, const char *detail)
{
    http_response_printf(view->out,
                         "<section class=\"notice %s\" role=\"status\"><h1>",
                         page->status >= 400 ? "bad" : "good");
    print_escaped(view, title);
    print(view, "</h1>");
    if (detail) {
        print(view, "<p>");
        print_escaped(view, detail);
        print(view, "</p>");
    }
    if (page->text_len) {
        print(view, "<pre class=\"value\">");
        print_text(view, page);
        print(view, "</pre>");
    }
    print(view, "</section>");
}

static void print_login_form(const struct view *view, const struct page *page)
{
    const char *anyone = servlet_context_param(
        http_request_context(view->request), "login.anyone");

    print(view, "<section class=\"card login\"><h2>Log in</h2>");
    print_form(view, "post", "/login");
    print(view, "<label for=\"user\">User</label>"
                "<input id=\"user\" name=\"user\" autocomplete=\"username\" "
                "autocapitalize=\"none\" spellcheck=\"false\" "
                "maxlength=\"100\" required value=\"");
    if (page->user)
        print_escaped(view, page->user);
    print(view, "\"><label for=\"password\">Password</label>"
                "<input id=\"password\" name=\"password\" type=\"password\" "
                "autocomplete=\"current-password\" required>"
                "<button class=\"main\">Log in</button></form>");
    if (anyone && strcmp(anyone, "true") == 0)
        print(view, "<p class=\"hint\">Any name and any password will do: "
                    "this server runs with <code>login.anyone=true</code>."
                    "</p>");
    else
        print(view, "<p class=\"hint\">Try <b>kim</b>, <b>lee</b> or "
                    "<b>park</b>; the password is <b>margay</b>.</p>");
    print(view, "</section>");
}

/* Beside the form: what a visitor may know before logging in. */
static void print_house(const struct view *view)
{
    const char *node =
        servlet_context_node(http_request_context(view->request));

    print(view, "<section class=\"card house\"><h2>This server</h2>");
    print(view, login_cat);
    print(view, "<dl>");
    print_fact(view, "Answered by", *node ? node : "this server");
    print_manager(view, "How it keeps sessions");
    print(view, "</dl></section>");
}

static void print_person(const struct view *view)
{
    http_response_printf(view->out,
                         "<section class=\"card person\"><h2>You</h2>"
                         "<p class=\"who\"><span>%s</span><b>",
                         http_session_user(view->session) ? "logged in as"
                                                          : "a guest");
    print_escaped(view, *view->user ? view->user : "without a name");
    http_response_printf(
        view->out,
        "</b></p><p class=\"hits\"><b>%" PRId64 "</b> <span>%s in this "
        "session</span></p><div class=\"row\">",
        http_session_get_int(view->session, "hits", 0),
        http_session_get_int(view->session, "hits", 0) == 1 ? "hit" : "hits");
    print_form(view, "post", "/hit");
    print(view, "<button class=\"main\">Hit</button></form>");
    print_form(view, "post", "/logout");
    print(view, "<button>Log out</button></form></div></section>");
}

static void print_session(const struct view *view)
{
    const struct http_session *session = view->session;
    int64_t lifetime = http_session_max_lifetime(session);
    int64_t idle = http_session_max_inactive(session);
    char text[64];

    print(view, "<section class=\"card session\"><h2>Your session</h2><dl>");
    print_manager(view, "How it is kept");
    snprintf(text, sizeof(text), "%.6s\xe2\x80\xa6", http_session_id(session));
    print_fact(view, "Id begins", text);
    format_duration(text, sizeof(text), age_seconds(session));
    print_fact(view, "Age", text);
    format_duration(text, sizeof(text), idle);
    print_fact(view, "Ends when idle for", idle > 0 ? text : "no limit");
    format_duration(text, sizeof(text), lifetime);
    print_fact(view, "Ends at the age of", lifetime > 0 ? text : "no limit");
    print(view, "</dl></section>");
}

static void print_playground(const struct view *view)
{
    const char *on = servlet_context_param(http_request_context(view->request),
                                           "playground");

    if (on && strcmp(on, "false") == 0)
        return;
    print(view, "<section class=\"card playground\"><h2>Playground</h2>"
                "<p>Put something into your session here, get it back from "
                "another instance.</p><div class=\"pair\">");
    print_form(view, "post", "/put");
    print(view, "<label for=\"put-k\">Key to put</label><input id=\"put-k\" "
                "name=\"k\" maxlength=\"200\" required autocomplete=\"off\">"
                "<label for=\"put-v\">Value</label><input id=\"put-v\" "
                "name=\"v\" autocomplete=\"off\"><button>Put</button></form>");
    print_form(view, "get", "/get");
    print(view, "<label for=\"get-k\">Key to get</label><input id=\"get-k\" "
                "name=\"k\" maxlength=\"200\" required autocomplete=\"off\">"
                "<button>Get</button></form></div></section>");
}

/* ---- whole pages ---- */

static void print_page(const struct view *view, const struct page *page)
{
    size_t reason = reason_find(http_request_session_reason(view->request));
    const char *detail = page->detail;
    const char *title = page->title;
    char hello[128];

    snprintf(hello, sizeof(hello), "Hello, %s",
             *view->user ? view->user : "guest");
    if (!title)
        title = view->session ? hello : reasons[reason].title;
    if (!detail && !page->title && !view->session)
        detail = reasons[reason].sentence;
    print_head(view, title);
    print_notice(view, page, title, detail);
    if (!page->bare && view->session) {
        print(view, "<div class=\"cards\">");
        print_person(view);
        print_session(view);
        print_playground(view);
        print(view, "</div>");
    } else if (!page->bare) {
        print(view, "<div class=\"cards\">");
        print_login_form(view, page);
        print_house(view);
        print(view, "</div>");
    }
    print_foot(view, page);
}

static void send_html(struct http_request *request,
                      struct http_response *response, const struct page *page)
{
    struct view view = {.request = request, .out = response, .user = ""};

    if (!page->bare)
        view.session = http_request_session(request, false);
    if (view.session) {
        view.user = http_session_user(view.session);
        if (!view.user)
            view.user = http_session_get_string(view.session, "user");
        if (!view.user)
            view.user = "";
        view.in_url = http_request_session_id_from_url(request);
    }
    http_response_set_content_type(response, "text/html;charset=UTF-8");
    http_response_set_header(response, "Content-Security-Policy",
                             "default-src 'none'; style-src 'self'; "
                             "img-src 'self'; form-action 'self'; "
                             "base-uri 'none'; frame-ancestors 'none'");
    http_response_set_header(response, "Referrer-Policy", "no-referrer");
    print_page(&view, page);
}

void page_send(struct http_request *request, struct http_response *response,
               const struct page *page)
{
    bool html = http_request_wants_html(request);

    http_response_set_status(response, page->status);
    if (!page->bare || html)
        http_response_set_header(response, "Cache-Control", "no-store");
    /* A value may be anything: a browser must not guess that it is a page. */
    if (page->text_len)
        http_response_set_header(response, "X-Content-Type-Options", "nosniff");
    if (html) {
        send_html(request, response, page);
        return;
    }
    http_response_set_content_type(response, "text/plain;charset=UTF-8");
    http_response_write(response, page->text,
                        page->text_len ? page->text_len : strlen(page->text));
    http_response_write(response, "\n", 1);
}

void page_send_logged_out(struct http_request *request,
                          struct http_response *response)
{
    char text[64];

    snprintf(text, sizeof(text), "not logged in: %s",
             http_request_session_reason(request));
    page_send(request, response, &(struct page){.status = 401, .text = text});
}
