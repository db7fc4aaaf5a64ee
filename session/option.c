/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "session/buf.h"
#include "session/option.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static enum rc option_set_int(const struct option *o, int64_t *out,
                              const char *value, struct err *err)
{
    bool any = o->min == 0 && o->max == 0;
    long long n;
    char *end;

    errno = 0;
    n = strtoll(value, &end, 10);
    if (end == value || *end || errno || strchr(" \t\n\v\f\r", value[0]))
        return err_set(err, RC_INVALID, "%s=\"%.64s\" is not a whole number",
                       o->name, value);
    if (!any && (n < o->min || n > o->max))
        return err_set(err, RC_INVALID,
                       "%s=\"%.64s\" is out of range: %" PRId64 " to %" PRId64
                       " is possible",
                       o->name, value, o->min, o->max);
    *out = n;
    return RC_OK;
}

static enum rc option_set_bool(const struct option *o, bool *out,
                               const char *value, struct err *err)
{
    bool yes = strcasecmp(value, "true") == 0;

    if (!yes && strcasecmp(value, "false") != 0)
        return err_set(err, RC_INVALID, "%s=\"%.64s\": say true or false",
                       o->name, value);
    *out = yes;
    return RC_OK;
}

static enum rc option_set_choice(const struct option *o, int *out,
                                 const char *value, struct err *err)
{
    const char *word = o->choices;
    int index = 0;

    for (;;) {
        size_t len = strcspn(word, "|");
        if (strlen(value) == len && strncasecmp(value, word, len) == 0) {
            *out = index;
            return RC_OK;
        }
        if (!word[len])
            break;
        word += len + 1;
        index++;
    }
    return err_set(err, RC_INVALID, "%s=\"%.64s\" is not one of %s", o->name,
                   value, o->choices);
}

static void option_set_string(char **out, const char *value)
{
    char *copy = mem_strdup(value); /* value may be the old one */

    free(*out);
    *out = copy;
}

static enum rc option_set_later(const struct option *o, const char *value,
                                struct err *err)
{
    if (o->preset && strcasecmp(value, o->preset) == 0)
        return RC_OK;
    return err_set(err, RC_UNSUPPORTED,
                   "%s=\"%.64s\" is not offered in this version: %s", o->name,
                   value, o->help);
}

static enum rc option_store(const struct option *o, void *target,
                            const char *value, struct err *err)
{
    void *member = (char *)target + o->offset;

    switch (o->kind) {
    case OPTION_STRING:
        option_set_string(member, value);
        return RC_OK;
    case OPTION_INT:
        return option_set_int(o, member, value, err);
    case OPTION_BOOL:
        return option_set_bool(o, member, value, err);
    case OPTION_CHOICE:
        return option_set_choice(o, member, value, err);
    case OPTION_IGNORED:
        return RC_OK;
    case OPTION_LATER:
        return option_set_later(o, value, err);
    }
    assert(!"kind of option");
    return RC_INVALID;
}

static void option_clear(const struct option *o, void *target)
{
    void *member = (char *)target + o->offset;

    switch (o->kind) {
    case OPTION_STRING:
        *(char **)member = NULL;
        break;
    case OPTION_INT:
        *(int64_t *)member = 0;
        break;
    case OPTION_BOOL:
        *(bool *)member = false;
        break;
    case OPTION_CHOICE:
        *(int *)member = 0;
        break;
    case OPTION_IGNORED:
    case OPTION_LATER:
        break;
    }
}

void option_defaults(const struct option *table, void *target)
{
    for (const struct option *o = table; o && o->name; o++) {
        option_clear(o, target);
        if (o->preset) {
            enum rc rc = option_store(o, target, o->preset, NULL);
            assert(rc == RC_OK);
            (void)rc;
        }
    }
}

enum rc option_set(const struct option *table, void *target, const char *name,
                   const char *value, struct err *err)
{
    const struct option *o = option_find(table, name);

    if (!o)
        return err_set(err, RC_ABSENT, "there is no attribute \"%.64s\"", name);
    return option_store(o, target, value, err);
}

void option_release(const struct option *table, void *target)
{
    for (const struct option *o = table; o && o->name; o++) {
        char **member = (char **)(void *)((char *)target + o->offset);
        if (o->kind == OPTION_STRING) {
            free(*member);
            *member = NULL;
        }
    }
}

const struct option *option_find(const struct option *table, const char *name)
{
    for (const struct option *o = table; o && o->name; o++) {
        if (strcmp(o->name, name) == 0)
            return o;
    }
    return NULL;
}
