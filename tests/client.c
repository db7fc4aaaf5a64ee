/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "tests/client.h"

#include "session/buf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <curl/curl.h>

#define ANSWER_MS 20000L

/* ---- one at a time ---- */

static size_t keep(char **into, size_t *len, const char *bytes, size_t n)
{
    *into = mem_resize(*into, *len + n + 1);
    memcpy(*into + *len, bytes, n);
    *len += n;
    (*into)[*len] = 0;
    return n;
}

static size_t browser_head(char *bytes, size_t size, size_t n, void *user)
{
    struct browser *b = user;
    return keep(&b->head, &b->head_len, bytes, size * n);
}

static size_t browser_body(char *bytes, size_t size, size_t n, void *user)
{
    struct browser *b = user;
    return keep(&b->body, &b->body_len, bytes, size * n);
}

void browser_open(struct browser *b)
{
    memset(b, 0, sizeof *b);
    b->curl = curl_easy_init();
    curl_easy_setopt(b->curl, CURLOPT_COOKIEFILE, "");
    curl_easy_setopt(b->curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(b->curl, CURLOPT_NOPROXY, "*");
    curl_easy_setopt(b->curl, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(b->curl, CURLOPT_TIMEOUT_MS, ANSWER_MS);
    curl_easy_setopt(b->curl, CURLOPT_HEADERFUNCTION, browser_head);
    curl_easy_setopt(b->curl, CURLOPT_HEADERDATA, b);
    curl_easy_setopt(b->curl, CURLOPT_WRITEFUNCTION, browser_body);
    curl_easy_setopt(b->curl, CURLOPT_WRITEDATA, b);
    curl_easy_setopt(b->curl, CURLOPT_ERRORBUFFER, b->problem);
}

void browser_close(struct browser *b)
{
    curl_easy_cleanup(b->curl);
    free(b->head);
    free(b->body);
    memset(b, 0, sizeof *b);
}

static int browser_ask(struct browser *b, const struct server *s,
                       const char *path, const char *form)
{
    char url[8192];
    long status = 0;
    snprintf(url, sizeof url, "%s%s", s->url, path);
    b->head_len = b->body_len = 0;
    keep(&b->head, &b->head_len, "", 0);
    keep(&b->body, &b->body_len, "", 0);
    b->problem[0] = 0;
    curl_easy_setopt(b->curl, CURLOPT_URL, url);
    if (form)
        curl_easy_setopt(b->curl, CURLOPT_COPYPOSTFIELDS, form);
    else
        curl_easy_setopt(b->curl, CURLOPT_HTTPGET, 1L);
    if (curl_easy_perform(b->curl) == CURLE_OK)
        curl_easy_getinfo(b->curl, CURLINFO_RESPONSE_CODE, &status);
    return b->status = (int)status;
}

int browser_get(struct browser *b, const struct server *s, const char *path)
{
    return browser_ask(b, s, path, NULL);
}

int browser_post(struct browser *b, const struct server *s, const char *path,
                 const char *form)
{
    return browser_ask(b, s, path, form ? form : "");
}

int browser_get_with(struct browser *b, const struct server *s,
                     const char *path, const char *header)
{
    struct curl_slist *line = header ? curl_slist_append(NULL, header) : NULL;
    bool is_cookie = header && strncasecmp(header, "Cookie:", 7) == 0;
    if (is_cookie)
        browser_forget(b);
    curl_easy_setopt(b->curl, CURLOPT_HTTPHEADER, line);
    browser_ask(b, s, path, NULL);
    curl_easy_setopt(b->curl, CURLOPT_HTTPHEADER, NULL);
    curl_slist_free_all(line);
    return b->status;
}

int browser_login(struct browser *b, const struct server *s, const char *user)
{
    char form[128];
    snprintf(form, sizeof form, "user=%s&password=margay", user);
    return browser_post(b, s, "/login/login", form);
}

void browser_forget(struct browser *b)
{
    curl_easy_setopt(b->curl, CURLOPT_COOKIELIST, "ALL");
}

void browser_renew(struct browser *b)
{
    curl_easy_setopt(b->curl, CURLOPT_FRESH_CONNECT, 1L);
    curl_easy_setopt(b->curl, CURLOPT_FORBID_REUSE, 1L);
}

const char *browser_header(struct browser *b, const char *name, unsigned n)
{
    size_t len = strlen(name);
    const char *at = b->head;
    for (; at && (at = strstr(at, "\r\n"));) {
        at += 2;
        if (strncasecmp(at, name, len) || at[len] != ':' || n-- > 0)
            continue;
        at += len + 1;
        at += strspn(at, " ");
        /* Cut into a piece behind the head's own bytes. */
        size_t size = strcspn(at, "\r\n"), from = (size_t)(at - b->head);
        b->head = mem_resize(b->head, b->head_len + size + 2);
        char *copy = b->head + b->head_len + 1;
        memcpy(copy, b->head + from, size);
        copy[size] = 0;
        return copy;
    }
    return NULL;
}

/* Netscape's format: domain, flag, path, secure, expires, name, value. */
bool browser_cookie(struct browser *b, const char *path, char out[128])
{
    struct curl_slist *list = NULL;
    char its_path[128], name[64], value[64];
    bool found = false;
    curl_easy_getinfo(b->curl, CURLINFO_COOKIELIST, &list);
    for (struct curl_slist *at = list; at; at = at->next)
        if (sscanf(at->data, "%*s %*s %127s %*s %*s %63s %63s", its_path, name,
                   value) == 3 &&
            strcmp(its_path, path) == 0) {
            snprintf(out, 128, "%s=%s", name, value);
            found = true;
        }
    curl_slist_free_all(list);
    return found;
}

const char *browser_line(const struct browser *b, const char *name,
                         char out[128])
{
    size_t len = strlen(name);
    out[0] = 0;
    for (const char *at = b->body; at && *at;) {
        size_t line = strcspn(at, "\n");
        if (strncmp(at, name, len) == 0 && at[len] == '=')
            snprintf(out, 128, "%.*s", (int)(line - len - 1), at + len + 1);
        at += line + (at[line] == '\n');
    }
    return out;
}

/* ---- many at a time ---- */

struct barrel {
    CURL *curl;
    struct shot shot;
    struct curl_slist *header;
    size_t body_len;
};

static size_t barrel_body(char *bytes, size_t size, size_t n, void *user)
{
    struct barrel *b = user;
    size_t room = sizeof b->shot.body - 1 - b->body_len;
    size_t take = size * n < room ? size * n : room;
    memcpy(b->shot.body + b->body_len, bytes, take);
    b->body_len += take;
    b->shot.body[b->body_len] = 0;
    return size * n;
}

static size_t barrel_head(char *bytes, size_t size, size_t n, void *user)
{
    struct barrel *b = user;
    static const char name[] = "Set-Cookie: ";
    size_t len = size * n, skip = sizeof name - 1, value = 0;
    if (len > skip && strncasecmp(bytes, name, skip) == 0) {
        while (skip + value < len && bytes[skip + value] != ';' &&
               bytes[skip + value] != '\r')
            value++;
        snprintf(b->shot.cookie_set, sizeof b->shot.cookie_set, "%.*s",
                 (int)value, bytes + skip);
    }
    return len;
}

static int barrel_fire(void *user, char *to, char *from, int to_port,
                       int from_port)
{
    struct barrel *b = user;
    (void)to, (void)from, (void)to_port, (void)from_port;
    if (b->shot.sends)
        ++*b->shot.sends;
    return CURL_PREREQFUNC_OK;
}

struct battery {
    CURLM *multi;
    unsigned count;
    struct barrel barrels[];
};

struct battery *battery_new(unsigned parallel)
{
    struct battery *b = mem_zero(sizeof *b + parallel * sizeof(struct barrel));
    b->count = parallel;
    b->multi = curl_multi_init();
    curl_multi_setopt(b->multi, CURLMOPT_MAXCONNECTS,
                      (long)parallel * FLEET_MAX);
    for (unsigned i = 0; i < parallel; i++)
        b->barrels[i].curl = curl_easy_init();
    return b;
}

void battery_free(struct battery **battery)
{
    struct battery *b = *battery;
    for (unsigned i = 0; i < b->count; i++)
        curl_easy_cleanup(b->barrels[i].curl);
    curl_multi_cleanup(b->multi);
    free(b);
    *battery = NULL;
}

static bool barrel_load(struct barrel *b, CURLM *multi, volley_next_fn *next,
                        void *user)
{
    char url[192], line[192];
    memset(&b->shot, 0, sizeof b->shot);
    if (!next(user, &b->shot))
        return false;
    b->body_len = 0;
    snprintf(url, sizeof url, "%s%s", b->shot.server->url, b->shot.path);
    curl_easy_reset(b->curl);
    curl_easy_setopt(b->curl, CURLOPT_URL, url);
    curl_easy_setopt(b->curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(b->curl, CURLOPT_NOPROXY, "*");
    curl_easy_setopt(b->curl, CURLOPT_TIMEOUT_MS, ANSWER_MS);
    curl_easy_setopt(b->curl, CURLOPT_PRIVATE, b);
    curl_easy_setopt(b->curl, CURLOPT_WRITEFUNCTION, barrel_body);
    curl_easy_setopt(b->curl, CURLOPT_WRITEDATA, b);
    curl_easy_setopt(b->curl, CURLOPT_HEADERFUNCTION, barrel_head);
    curl_easy_setopt(b->curl, CURLOPT_HEADERDATA, b);
    curl_easy_setopt(b->curl, CURLOPT_PREREQFUNCTION, barrel_fire);
    curl_easy_setopt(b->curl, CURLOPT_PREREQDATA, b);
    if (b->shot.form)
        curl_easy_setopt(b->curl, CURLOPT_COPYPOSTFIELDS, b->shot.form);
    if (b->shot.cookie) {
        snprintf(line, sizeof line, "Cookie: %s", b->shot.cookie);
        b->header = curl_slist_append(NULL, line);
        curl_easy_setopt(b->curl, CURLOPT_HTTPHEADER, b->header);
    }
    curl_multi_add_handle(multi, b->curl);
    return true;
}

static void barrel_empty(struct barrel *b, CURLM *multi, CURLcode code)
{
    long status = 0;
    if (code == CURLE_OK)
        curl_easy_getinfo(b->curl, CURLINFO_RESPONSE_CODE, &status);
    b->shot.status = (int)status;
    b->shot.problem = (int)code;
    curl_multi_remove_handle(multi, b->curl);
    curl_slist_free_all(b->header);
    b->header = NULL;
}

/* Hands out what has been answered and loads again; how many went silent. */
static unsigned battery_serve(struct battery *battery, volley_next_fn *next,
                              volley_hit_fn *hit, void *user)
{
    unsigned silent = 0;
    CURLMsg *message;
    int left;
    while ((message = curl_multi_info_read(battery->multi, &left))) {
        struct barrel *b;
        CURLcode code = message->data.result;
        if (message->msg != CURLMSG_DONE)
            continue;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &b);
        barrel_empty(b, battery->multi, code);
        hit(user, &b->shot);
        silent += !barrel_load(b, battery->multi, next, user);
    }
    return silent;
}

void volley_run(struct battery *battery, volley_next_fn *next,
                volley_hit_fn *hit, void *user)
{
    unsigned flying = 0;
    int count;
    for (unsigned i = 0; i < battery->count; i++)
        flying += barrel_load(&battery->barrels[i], battery->multi, next, user);
    while (flying > 0) {
        curl_multi_perform(battery->multi, &count);
        flying -= battery_serve(battery, next, hit, user);
        if (flying > 0)
            curl_multi_poll(battery->multi, NULL, 0, 100, NULL);
    }
}

struct magazine {
    struct shot *shots;
    unsigned count, given;
};

static bool magazine_next(void *user, struct shot *shot)
{
    struct magazine *m = user;
    if (m->given == m->count)
        return false;
    *shot = m->shots[m->given];
    shot->number = m->given++;
    return true;
}

static void magazine_hit(void *user, const struct shot *shot)
{
    struct magazine *m = user;
    m->shots[shot->number] = *shot;
}

void volley(struct battery *battery, struct shot *shots, unsigned count)
{
    struct magazine m = {.shots = shots, .count = count};
    volley_run(battery, magazine_next, magazine_hit, &m);
}

/* ---- what a server says of itself ---- */

double server_metric(const struct server *s, const char *prefix)
{
    struct browser b;
    double sum = -1;
    browser_open(&b);
    if (browser_get(&b, s, "/metrics") == 200)
        sum = 0;
    for (const char *at = b.body; sum >= 0 && at && *at;) {
        size_t line = strcspn(at, "\n");
        if (strncmp(at, prefix, strlen(prefix)) == 0) {
            const char *value = at + line;
            while (value > at && value[-1] != ' ')
                value--;
            sum += strtod(value, NULL);
        }
        at += line + (at[line] == '\n');
    }
    browser_close(&b);
    return sum;
}

int server_health(const struct server *s)
{
    struct browser b;
    browser_open(&b);
    int status = browser_get(&b, s, "/health");
    browser_close(&b);
    return status;
}
