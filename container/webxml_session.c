/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "container/webxml_reader.h"

#include "container/percent.h"
#include "container/serverxml.h"
#include "session/buf.h"

#include <stdlib.h>
#include <string.h>

/* ---- <session-config> ---- */

static enum rc read_timeout(struct webxml *w, const struct xml_element *e)
{
    int64_t minutes = 0;
    enum rc rc = webxml_int(w, e, INT32_MIN, INT32_MAX, &minutes);

    w->session.has_timeout = true;
    w->session.timeout = minutes > 0 ? minutes * 60 : 0;
    return rc;
}

static enum rc read_mode(struct webxml *w, const struct xml_element *e)
{
    w->session.has_modes = true;
    if (strcmp(e->text, "COOKIE") == 0)
        w->session.cookie_mode = true;
    else if (strcmp(e->text, "URL") == 0)
        w->session.url_mode = true;
    else
        return xml_error(e, RC_INVALID, w->err,
                         "<tracking-mode>%.64s</tracking-mode>: say COOKIE or "
                         "URL",
                         e->text);
    if (w->session.cookie_mode && !w->context->config->options.cookies)
        return xml_error(e, RC_INVALID, w->err,
                         "<tracking-mode>COOKIE</tracking-mode>, but the "
                         "Context says cookies=\"false\": remove one of them");
    return RC_OK;
}

static enum rc read_cookie_config(struct webxml *w, const struct xml_element *e)
{
    if (w->session.cookie_config)
        return xml_error(e, RC_INVALID, w->err,
                         "a second <cookie-config>: keep one of them");
    w->session.cookie_config = e;
    return RC_OK;
}

enum rc webxml_session_config(struct webxml *w, const struct xml_element *e)
{
    static const struct webxml_rule rules[] = {
        {.name = "session-timeout", .read = read_timeout},
        {.name = "cookie-config", .read = read_cookie_config},
        {.name = "tracking-mode", .read = read_mode},
        {.name = NULL},
    };

    if (w->session.at)
        return xml_error(e, RC_INVALID, w->err,
                         "a second <session-config>: keep one of them");
    w->session.at = e;
    return webxml_children(w, e, rules);
}

/* ---- <cookie-config> ---- */

static void set_text(char **target, const char *text)
{
    free(*target);
    *target = text ? mem_strdup(text) : NULL;
}

static enum rc read_name(struct webxml *w, const struct xml_element *e)
{
    set_text(&w->context->session_cookie_name, e->text);
    return RC_OK;
}

static enum rc read_domain(struct webxml *w, const struct xml_element *e)
{
    set_text(&w->context->session_cookie_domain, e->text);
    return RC_OK;
}

static enum rc read_path(struct webxml *w, const struct xml_element *e)
{
    set_text(&w->context->session_cookie_path, e->text);
    return RC_OK;
}

static enum rc read_max_age(struct webxml *w, const struct xml_element *e)
{
    return webxml_int(w, e, INT32_MIN, INT32_MAX,
                      &w->context->session_cookie.max_age);
}

static enum rc read_secure(struct webxml *w, const struct xml_element *e)
{
    return webxml_bool(w, e, &w->context->session_cookie.secure);
}

static enum rc read_http_only(struct webxml *w, const struct xml_element *e)
{
    return webxml_bool(w, e, &w->context->session_cookie.http_only);
}

static enum rc read_attribute(struct webxml *w, const struct xml_element *e)
{
    struct cookie_config *cookie = &w->context->session_cookie;
    struct cookie_attribute *all =
        (struct cookie_attribute *)cookie->attributes;
    const char *name, *value = xml_child_text(e, "attribute-value");
    enum rc rc = webxml_text(w, e, "attribute-name", &name);

    if (rc != RC_OK)
        return rc;
    all = mem_resize(all, (cookie->attribute_count + 1) * sizeof *all);
    all[cookie->attribute_count++] = (struct cookie_attribute){
        .name = mem_strdup(name), .value = mem_strdup(value ? value : "")};
    cookie->attributes = all;
    return RC_OK;
}

static const struct webxml_rule cookie_rules[] = {
    {.name = "name", .read = read_name},
    {.name = "domain", .read = read_domain},
    {.name = "path", .read = read_path},
    {.name = "comment", .ignored = "browsers do not know it"},
    {.name = "http-only", .read = read_http_only},
    {.name = "secure", .read = read_secure},
    {.name = "max-age", .read = read_max_age},
    {.name = "attribute", .read = read_attribute},
    {.name = NULL},
};

/* ---- what comes of both files ---- */

/* The path of the cookie: Context's, else web.xml's, else the context's own,
 * written as in a URL. */
static void apply_path(struct context *c)
{
    const struct context_options *o = &c->config->options;
    struct buf path;
    size_t len;

    if (o->session_cookie_path)
        set_text(&c->session_cookie_path, o->session_cookie_path);
    buf_init(&path, 4096);
    if (c->session_cookie_path)
        buf_add_str(&path, c->session_cookie_path);
    else
        percent_encode_path(&path, c->path, strlen(c->path));
    len = path.len;
    if (len == 0 ||
        (o->session_cookie_path_slash && buf_str(&path)[len - 1] != '/'))
        buf_add_char(&path, '/');
    set_text(&c->session_cookie_path, buf_str(&path));
    buf_release(&path);
}

static void apply_name(struct context *c)
{
    const struct context_options *o = &c->config->options;

    if (o->session_cookie_name)
        set_text(&c->session_cookie_name, o->session_cookie_name);
    /* A name that was configured is that of the path parameter as well. */
    set_text(&c->session_parameter_name,
             c->session_cookie_name ? c->session_cookie_name : "jsessionid");
    if (!c->session_cookie_name)
        set_text(&c->session_cookie_name, "JSESSIONID");
}

/* Which of the two files is to blame. */
static enum rc cookie_error(struct webxml *w, enum rc rc, const char *text)
{
    const struct context_config *config = w->context->config;
    const struct context_options *o = &config->options;
    const struct xml_element *at = w->session.cookie_config;

    if (!at || o->session_cookie_name || o->session_cookie_path ||
        o->session_cookie_domain)
        at = config->at ? config->at : at;
    if (at)
        return xml_error(at, rc, w->err, "session cookie: %s", text);
    return err_set(w->err, rc, "%s: session cookie: %s", w->context->doc_base,
                   text);
}

static enum rc apply_cookie(struct webxml *w)
{
    struct context *c = w->context;
    const struct context_options *o = &c->config->options;
    const struct cookie_processor_options *p =
        c->config->level.cookie_processor;
    struct cookie_config *cookie = &c->session_cookie;
    struct err err = {""};
    enum rc rc = RC_OK;

    cookie_config_init(cookie);
    cookie->http_only = false;
    if (w->session.cookie_config)
        rc = webxml_children(w, w->session.cookie_config, cookie_rules);
    if (rc != RC_OK)
        return rc;
    apply_name(c);
    apply_path(c);
    if (o->session_cookie_domain)
        set_text(&c->session_cookie_domain, o->session_cookie_domain);
    cookie->name = c->session_cookie_name;
    cookie->path = c->session_cookie_path;
    cookie->domain = c->session_cookie_domain;
    cookie->http_only |= o->use_http_only;
    cookie->partitioned = o->use_partitioned || p->partitioned;
    cookie->same_site = (enum cookie_same_site)p->same_site;
    c->cookies_without_equals = (enum cookie_bare)p->cookies_without_equals;
    rc = cookie_check(cookie, &err);
    return rc == RC_OK ? RC_OK : cookie_error(w, rc, err.text);
}

enum rc webxml_session_apply(struct webxml *w)
{
    struct context *c = w->context;
    const struct manager_config *m = c->config->level.manager;
    const struct webxml_session *s = &w->session;

    c->cookies = s->has_modes ? s->cookie_mode : c->config->options.cookies;
    c->url_tracking = s->has_modes ? s->url_mode : true;
    c->manager_options = m->common;
    if (!m->max_inactive_is_set && s->has_timeout)
        c->manager_options.max_inactive = s->timeout;
    return apply_cookie(w);
}
