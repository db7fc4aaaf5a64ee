/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "container/cookie.h"

#include "session/buf.h"

#include <assert.h>
#include <string.h>
#include <strings.h>
#include <time.h>

enum { TOKEN = 1, OCTET = 2, BOTH = TOKEN | OCTET };

static const uint8_t cookie_class[256] = {
    [0x21] = BOTH,          [0x23 ... 0x27] = BOTH, [0x28 ... 0x29] = OCTET,
    [0x2a ... 0x2b] = BOTH, [0x2d ... 0x2e] = BOTH, [0x2f] = OCTET,
    [0x30 ... 0x39] = BOTH, [0x3a] = OCTET,         [0x3c ... 0x40] = OCTET,
    [0x41 ... 0x5a] = BOTH, [0x5b] = OCTET,         [0x5d] = OCTET,
    [0x5e ... 0x7a] = BOTH, [0x7b] = OCTET,         [0x7c] = BOTH,
    [0x7d] = OCTET,         [0x7e] = BOTH,          [0x80 ... 0xff] = OCTET,
};

static bool is_class(char c, uint8_t class)
{
    return cookie_class[(uint8_t)c] & class;
}

/* ---- reading ---- */

void cookie_reader_init(struct cookie_reader *r, int64_t max,
                        enum cookie_bare bare)
{
    *r = (struct cookie_reader){
        .left = max < 0 ? SIZE_MAX : (size_t)max,
        .bare = bare,
    };
}

void cookie_reader_line(struct cookie_reader *r, const char *header, size_t len)
{
    r->at = header;
    r->end = header + len;
}

static void skip_class(struct cookie_reader *r, uint8_t class)
{
    const char *at = r->at;
    while (at < r->end && is_class(*at, class))
        at++;
    r->at = at;
}

static void skip_blank(struct cookie_reader *r)
{
    while (r->at < r->end && (*r->at == ' ' || *r->at == '\t'))
        r->at++;
}

static bool skip_pair(struct cookie_reader *r)
{
    const char *next = memchr(r->at, ';', (size_t)(r->end - r->at));
    r->at = next ? next + 1 : r->end;
    return false;
}

/* An opening quote without a closing one is accepted: so does Tomcat. */
static bool cookie_value(struct cookie_reader *r, struct cookie *c)
{
    c->value = r->at;
    bool quoted = r->at < r->end && *r->at == '"';
    if (quoted)
        r->at++;
    skip_class(r, OCTET);
    if (quoted && r->at < r->end && *r->at == '"')
        r->at++;
    c->value_len = (size_t)(r->at - c->value);
    skip_blank(r);
    return r->at == r->end || *r->at == ';';
}

/* False: there was no acceptable cookie up to the next semicolon. */
static bool cookie_pair(struct cookie_reader *r, struct cookie *c)
{
    skip_blank(r);
    c->name = r->at;
    skip_class(r, TOKEN);
    c->name_len = (size_t)(r->at - c->name);
    skip_blank(r);
    bool equals = r->at < r->end && *r->at == '=';
    c->value = r->at;
    c->value_len = 0;
    if (equals) {
        r->at++;
        skip_blank(r);
        if (!cookie_value(r, c))
            return skip_pair(r);
    }
    if (r->at < r->end && *r->at++ != ';')
        return skip_pair(r);
    return c->name_len && (equals || r->bare == COOKIE_BARE_NAME);
}

enum rc cookie_next(struct cookie_reader *r, struct cookie *out)
{
    while (r->at < r->end) {
        const char *start = r->at;
        if (!cookie_pair(r, out))
            continue;
        if (!r->left) {
            r->at = start;
            return RC_TOOBIG;
        }
        r->left--;
        return RC_OK;
    }
    return RC_ABSENT;
}

enum rc cookie_parse(struct cookie *cookies, size_t max, size_t *count,
                     const char *header, size_t len)
{
    assert(*count <= max);
    struct cookie_reader r;
    struct cookie c;
    enum rc rc;
    cookie_reader_init(&r, (int64_t)(max - *count), COOKIE_BARE_IGNORE);
    cookie_reader_line(&r, header, len);
    while ((rc = cookie_next(&r, &c)) == RC_OK)
        cookies[(*count)++] = c;
    return rc == RC_ABSENT ? RC_OK : rc;
}

bool cookie_is(const struct cookie *c, const char *name)
{
    size_t len = strlen(name);
    return len == c->name_len && !memcmp(c->name, name, len);
}

/* ---- writing ---- */

void cookie_config_init(struct cookie_config *config)
{
    *config = (struct cookie_config){
        .name = "JSESSIONID",
        .max_age = -1,
        .http_only = true,
    };
}

static bool is_set(const char *text)
{
    return text && *text;
}

static bool is_token(const char *text)
{
    size_t len = 0;
    while (is_class(text[len], TOKEN))
        len++;
    return len && !text[len];
}

static bool is_attribute_value(const char *text)
{
    for (; *text; text++)
        if ((uint8_t)*text < 0x20 || (uint8_t)*text > 0x7e || *text == ';')
            return false;
    return true;
}

static bool is_alnum(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
           (c >= 'A' && c <= 'Z');
}

static bool is_domain(const char *domain)
{
    char before = '.';
    for (; *domain; before = *domain++) {
        bool inner = is_alnum(*domain) || (*domain == '-' && before != '.');
        bool ends = *domain == '.' && is_alnum(before);
        if (!inner && !ends)
            return false;
    }
    return is_alnum(before);
}

static bool is_value(const char *value, size_t len)
{
    if (len > 1 && value[0] == '"' && value[len - 1] == '"') {
        value++;
        len -= 2;
    }
    for (size_t i = 0; i < len; i++)
        if (!is_class(value[i], OCTET))
            return false;
    return true;
}

static enum rc check_attributes(const struct cookie_config *config,
                                struct err *err)
{
    for (size_t i = 0; i < config->attribute_count; i++) {
        const struct cookie_attribute *a = &config->attributes[i];
        if (!is_token(a->name))
            return err_set(err, RC_INVALID,
                           "the name of cookie attribute %zu is not a token: "
                           "letters, digits, - and _ are",
                           i + 1);
        if (!is_attribute_value(a->value))
            return err_set(err, RC_INVALID,
                           "the value of cookie attribute %s holds a "
                           "semicolon, a control character or a byte above "
                           "0x7E: take it out",
                           a->name);
    }
    return RC_OK;
}

enum rc cookie_check(const struct cookie_config *config, struct err *err)
{
    if (!config->name || !is_token(config->name))
        return err_set(err, RC_INVALID,
                       "the cookie's name is not a token: letters, digits, - "
                       "and _ are");
    if (is_set(config->domain) && !is_domain(config->domain))
        return err_set(err, RC_INVALID,
                       "the cookie's domain is not a host name: write it as "
                       "example.com, without a leading dot");
    if (is_set(config->path) && !is_attribute_value(config->path))
        return err_set(err, RC_INVALID,
                       "the cookie's path holds a semicolon, a control "
                       "character or a byte above 0x7E: write those as %%XX");
    if (config->max_age > INT32_MAX)
        return err_set(err, RC_INVALID,
                       "the cookie's max-age is over %d seconds", INT32_MAX);
    return check_attributes(config, err);
}

/* Not strftime: its names of days follow the process's locale. */
static void write_age(struct buf *out, int64_t max_age, int64_t now)
{
    static const char day[7][4] = {"Sun", "Mon", "Tue", "Wed",
                                   "Thu", "Fri", "Sat"};
    static const char month[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                      "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    /* 10 s after the beginning of time: Tomcat's "long ago". */
    time_t when = max_age ? (time_t)(now / 1000 + max_age) : 10;
    struct tm tm;
    if (max_age < 0 || !gmtime_r(&when, &tm))
        return;
    buf_addf(out, "; Expires=%s, %02d %s %04d %02d:%02d:%02d GMT",
             day[tm.tm_wday], tm.tm_mday, month[tm.tm_mon], tm.tm_year + 1900,
             tm.tm_hour, tm.tm_min, tm.tm_sec);
    if (max_age)
        buf_addf(out, "; Max-Age=%lld", (long long)max_age);
}

static void write_domain(struct buf *out, const char *domain)
{
    buf_add_str(out, "; Domain=");
    for (; *domain; domain++)
        buf_add_char(out, *domain >= 'A' && *domain <= 'Z'
                              ? (char)(*domain - 'A' + 'a')
                              : *domain);
}

static const char *attribute(const struct cookie_config *config,
                             const char *name)
{
    for (size_t i = 0; i < config->attribute_count; i++)
        if (!strcasecmp(config->attributes[i].name, name))
            return config->attributes[i].value;
    return NULL;
}

static void write_same_site(struct buf *out, const struct cookie_config *config)
{
    static const char *const names[] = {NULL, "None", "Lax", "Strict"};
    const char *text = attribute(config, "SameSite");
    if (!text)
        text = names[config->same_site];
    if (text)
        buf_addf(out, "; SameSite=%s", text);
}

static void write_partitioned(struct buf *out,
                              const struct cookie_config *config)
{
    const char *own = attribute(config, "Partitioned");
    if (own ? !*own : config->partitioned)
        buf_add_str(out, "; Partitioned");
}

static void write_others(struct buf *out, const struct cookie_config *config)
{
    static const char *const known[] = {
        "Comment", "Domain",   "Max-Age",  "Path",
        "Secure",  "HttpOnly", "SameSite", "Partitioned",
    };
    for (size_t i = 0; i < config->attribute_count; i++) {
        const struct cookie_attribute *a = &config->attributes[i];
        bool skip = false;
        for (size_t k = 0; k < sizeof known / sizeof known[0]; k++)
            skip |= !strcasecmp(known[k], a->name);
        if (!skip)
            buf_addf(out, *a->value ? "; %s=%s" : "; %s%s", a->name, a->value);
    }
}

enum rc cookie_write(struct buf *out, const struct cookie_config *config,
                     const char *value, size_t len, int64_t now,
                     struct err *err)
{
    enum rc rc = cookie_check(config, err);
    if (rc != RC_OK)
        return rc;
    if (!is_value(value, len))
        return err_set(err, RC_INVALID,
                       "the value of cookie %s holds a blank, a control "
                       "character or one of \" , ; \\: encode it",
                       config->name);
    size_t start = out->len;
    buf_addf(out, "%s=", config->name);
    buf_add(out, value, len);
    write_age(out, config->max_age, now);
    if (is_set(config->domain))
        write_domain(out, config->domain);
    if (is_set(config->path))
        buf_addf(out, "; Path=%s", config->path);
    if (config->secure)
        buf_add_str(out, "; Secure");
    if (config->http_only)
        buf_add_str(out, "; HttpOnly");
    write_same_site(out, config);
    write_partitioned(out, config);
    write_others(out, config);
    if (!out->full)
        return RC_OK;
    out->len = start;
    if (out->data)
        out->data[start] = 0;
    return err_set(err, RC_TOOBIG, "the Set-Cookie header is too long");
}
