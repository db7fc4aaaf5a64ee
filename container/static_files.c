/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "container/static_files.h"

#include "container/percent.h"
#include "container/request.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

struct site_folder {
    int fd;
};

/* ---- names ---- */

const char *static_files_type(const char *name)
{
    static const struct {
        const char *extension, *type;
    } types[] = {
        {"css", "text/css;charset=UTF-8"},
        {"csv", "text/csv;charset=UTF-8"},
        {"gif", "image/gif"},
        {"htm", "text/html;charset=UTF-8"},
        {"html", "text/html;charset=UTF-8"},
        {"ico", "image/x-icon"},
        {"jpeg", "image/jpeg"},
        {"jpg", "image/jpeg"},
        {"js", "text/javascript;charset=UTF-8"},
        {"json", "application/json"},
        {"md", "text/markdown;charset=UTF-8"},
        {"mjs", "text/javascript;charset=UTF-8"},
        {"pdf", "application/pdf"},
        {"png", "image/png"},
        {"svg", "image/svg+xml"},
        {"txt", "text/plain;charset=UTF-8"},
        {"wasm", "application/wasm"},
        {"webmanifest", "application/manifest+json"},
        {"webp", "image/webp"},
        {"woff", "font/woff"},
        {"woff2", "font/woff2"},
        {"xml", "application/xml"},
        {"zip", "application/zip"},
    };
    const char *slash = strrchr(name, '/');
    const char *dot = strrchr(slash ? slash : name, '.');
    for (size_t i = 0; dot && i < sizeof types / sizeof types[0]; i++)
        if (!strcasecmp(types[i].extension, dot + 1))
            return types[i].type;
    return NULL;
}

/* path: within the context, beginning with a slash. */
static bool is_hidden(const char *path)
{
    static const char *const hidden[] = {"/WEB-INF", "/META-INF"};
    for (size_t i = 0; i < sizeof hidden / sizeof hidden[0]; i++) {
        size_t len = strlen(hidden[i]);
        if (!strncasecmp(path, hidden[i], len) &&
            (path[len] == '/' || !path[len]))
            return true;
    }
    return false;
}

/* ---- opening ---- */

/* The same by hand, for kernels and sandboxes without openat2. */
static int open_stepwise(int dir, const char *path, int flags)
{
    char name[256];
    int at = dup(dir);
    while (at >= 0) {
        size_t len = strcspn(path, "/");
        bool last = !path[len];
        if (len >= sizeof name || (len == 2 && !memcmp(path, "..", 2)))
            break;
        memcpy(name, path, len);
        name[len] = 0;
        int next = openat(at, len ? name : ".",
                          last ? flags
                               : O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        int saved = errno;
        close(at);
        errno = saved;
        if (last || next < 0)
            return next;
        at = next;
        path += len + 1;
    }
    if (at >= 0)
        close(at);
    errno = ENOENT;
    return -1;
}

int static_files_open(int dir, const char *path)
{
    int flags = O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY;
    struct open_how how = {
        .flags = (uint64_t)flags,
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS,
    };
    path += strspn(path, "/");
    if (!*path)
        path = ".";
    long fd = syscall(SYS_openat2, dir, path, &how, sizeof how);
    if (fd < 0 && (errno == ENOSYS || errno == EPERM))
        return open_stepwise(dir, path, flags);
    return (int)fd;
}

/* ---- dates and tags ---- */

const char *http_date_format(int64_t seconds, char out[HTTP_DATE_SIZE])
{
    static const char days[][4] = {"Sun", "Mon", "Tue", "Wed",
                                   "Thu", "Fri", "Sat"};
    static const char months[][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                     "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    time_t t = (time_t)seconds;
    struct tm tm;
    if (!gmtime_r(&t, &tm) || tm.tm_year < -1900 || tm.tm_year > 8099) {
        t = 0;
        gmtime_r(&t, &tm);
    }
    snprintf(out, HTTP_DATE_SIZE, "%s, %02u %s %04u %02u:%02u:%02u GMT",
             days[tm.tm_wday], (unsigned)tm.tm_mday & 31, months[tm.tm_mon],
             (unsigned)(tm.tm_year + 1900) & 0x3fff, (unsigned)tm.tm_hour & 31,
             (unsigned)tm.tm_min & 63, (unsigned)tm.tm_sec & 63);
    return out;
}

int64_t http_date_parse(const char *text)
{
    static const char *const forms[] = {
        "%a, %d %b %Y %H:%M:%S GMT",
        "%a, %d-%b-%y %H:%M:%S GMT",
        "%a %b %d %H:%M:%S %Y",
    };
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        struct tm tm = {0};
        const char *end = strptime(text, forms[i], &tm);
        if (end && !*end)
            return (int64_t)timegm(&tm);
    }
    return -1;
}

static bool tag_matches(const char *list, const char *tag)
{
    const char *strong = tag + 2; /* behind W/ */
    size_t len = strlen(strong);
    while (*list) {
        list += strspn(list, ", \t");
        if (*list == '*')
            return true;
        if (!strncmp(list, "W/", 2))
            list += 2;
        if (!strncmp(list, strong, len))
            return true;
        list += strcspn(list, ",");
    }
    return false;
}

/* Our tags are weak, and If-Match wants a strong one: only its star holds. */
static bool is_unwanted(const struct http_request *r, int64_t modified)
{
    const char *list = http_request_header(r, "If-Match");
    if (list)
        return strcmp(list, "*") != 0;
    const char *since = http_request_header(r, "If-Unmodified-Since");
    int64_t date = since ? http_date_parse(since) : -1;
    return date >= 0 && modified > date;
}

static bool is_unchanged(const struct http_request *r, const char *tag,
                         int64_t modified)
{
    const char *list = http_request_header(r, "If-None-Match");
    if (list)
        return tag_matches(list, tag);
    const char *since = http_request_header(r, "If-Modified-Since");
    int64_t date = since ? http_date_parse(since) : -1;
    return date >= 0 && modified <= date;
}

/* ---- serving ---- */

static void not_found(struct http_response *w)
{
    response_page(w, 404, NULL);
}

/* Takes fd. The conditions in the order of RFC 9110, 13.2.2. */
static void serve_file(struct http_request *r, int fd, const struct stat *st,
                       const char *name)
{
    struct http_response *w = &r->response;
    int64_t modified = (int64_t)st->st_mtim.tv_sec;
    char tag[64], date[HTTP_DATE_SIZE];
    if (w->status == 200 && is_unwanted(r, modified)) {
        close(fd);
        response_page(w, 412, NULL);
        return;
    }
    snprintf(tag, sizeof tag, "W/\"%" PRIu64 "-%" PRId64 "\"",
             (uint64_t)st->st_size,
             modified * 1000 + st->st_mtim.tv_nsec / 1000000);
    http_date_format(modified, date);
    response_put_header(w, "ETag", request_text(r, tag, strlen(tag)));
    response_put_header(w, "Last-Modified",
                        request_text(r, date, strlen(date)));
    response_put_header(w, "X-Content-Type-Options", "nosniff");
    if (w->status == 200 && is_unchanged(r, tag, modified)) {
        /* The length is that of a 200 without its body, which nobody sends:
         * with no body at hand, libmicrohttpd would say that it is 0. */
        w->status = 304;
    }
    response_file(w, fd, (uint64_t)st->st_size, static_files_type(name));
}

/* Takes fd, which is a regular file. False: it is none; fd is closed. */
static bool serve_if_file(struct http_request *r, int fd, const char *name)
{
    struct stat st;
    if (fd < 0)
        return false;
    if (fstat(fd, &st) || !S_ISREG(st.st_mode)) {
        close(fd);
        return false;
    }
    serve_file(r, fd, &st, name);
    return true;
}

/* The slash goes before the session id, as Tomcat has it. */
static void redirect_to_slash(struct http_request *r)
{
    struct buf to;
    buf_init(&to, RESPONSE_MAX_HEADER);
    percent_encode_path(&to, r->path, r->path_len);
    buf_add_char(&to, '/');
    if (r->path_id && r->id_from_url) {
        buf_addf(&to, ";%s=", request_site(r)->session_parameter_name);
        buf_add(&to, r->path_id, r->path_id_len);
    }
    if (r->query)
        buf_addf(&to, "?%s", r->query);
    if (to.full ||
        http_response_send_redirect(&r->response, buf_str(&to), 302) != HTTP_OK)
        response_page(&r->response, 414, NULL);
    buf_release(&to);
}

static bool serve_welcome(struct http_request *r, int dir, const char *folder)
{
    const struct context *site = request_site(r);
    for (size_t i = 0; i < site->welcome_file_count; i++) {
        const char *name = site->welcome_files[i];
        size_t len = strlen(folder), more = strlen(name);
        char *path = arena_alloc(&r->arena, len + more + 1);
        memcpy(path, folder, len);
        memcpy(path + len, name, more + 1);
        if (serve_if_file(r, static_files_open(dir, path), name))
            return true;
    }
    return false;
}

/* path: within the context, beginning with a slash. */
static void serve_path(struct http_request *r, int dir, const char *path)
{
    struct stat st;
    size_t len = strlen(path);
    bool slash = path[len - 1] == '/';
    int fd = static_files_open(dir, path);
    if (fd < 0 || fstat(fd, &st)) {
        not_found(&r->response);
    } else if (S_ISREG(st.st_mode) && !slash) {
        serve_file(r, fd, &st, path);
        return;
    } else if (!S_ISDIR(st.st_mode)) {
        not_found(&r->response);
    } else if (!slash) {
        redirect_to_slash(r);
    } else if (!serve_welcome(r, dir, path)) {
        not_found(&r->response);
    }
    if (fd >= 0)
        close(fd);
}

static void static_service(struct http_request *r, struct http_response *w)
{
    static const char allowed[] = "GET, HEAD, OPTIONS";
    const struct site_folder *site = http_request_servlet_state(r);
    const char *path = r->path + r->mapping.context_len;
    if (!strcmp(r->method, "OPTIONS")) {
        response_put_header(w, "Allow", allowed);
    } else if (strcmp(r->method, "GET") != 0 && strcmp(r->method, "HEAD")) {
        response_page(w, 405, NULL);
        response_put_header(w, "Allow", allowed);
    } else if (!site || path[0] != '/' || is_hidden(path)) {
        not_found(w);
    } else {
        serve_path(r, site->fd, path);
    }
}

static bool static_init(const struct servlet_config *config, void **state)
{
    const char *folder = config->context->doc_base;
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        servlet_log(servlet_context_of(config->context),
                    "the folder %s cannot be opened: %s", folder,
                    strerror(errno));
        return false;
    }
    struct site_folder *site = mem_alloc(sizeof *site);
    site->fd = fd;
    *state = site;
    return true;
}

static void static_destroy(void *state)
{
    struct site_folder *site = state;
    if (!site)
        return;
    close(site->fd);
    free(site);
}

const struct servlet static_files_servlet = {
    .init = static_init,
    .service = static_service,
    .destroy = static_destroy,
    .abi = MARGAY_SERVLET_ABI,
};
