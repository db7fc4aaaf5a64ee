/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "container/sessions_common.h"

#include "container/context.h"
#include "container/instance.h"
#include "container/serverxml.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define TELL_EVERY_MS 1000

/* One that is ignored (nohup) would wait as well, were it blocked. */
void sessions_block_signals(void)
{
    static const int all[] = {SIGINT, SIGTERM, SIGHUP};
    struct sigaction now;
    sigset_t signals;

    sigemptyset(&signals);
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        if (sigaction(all[i], NULL, &now) == 0 && now.sa_handler != SIG_IGN)
            sigaddset(&signals, all[i]);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
}

/* ---- which application ---- */

static const char *path_of(const struct context *x)
{
    return x->path[0] ? x->path : "/";
}

static enum rc check_context(const struct context *x, struct err *err)
{
    const struct manager_config *m = x->config->level.manager;
    const struct xml_element *at = m->at           ? m->at
                                   : x->config->at ? x->config->at
                                                   : x->config->server->at;

    if (!m->store)
        return xml_error(at, RC_UNSUPPORTED, err,
                         "the %s of %s has no <Store>: its sessions are in the "
                         "memory of its instances. Change to a "
                         "PersistentManager with this one beside it as "
                         "role=\"previous\" (docs/rolling-change.md); its "
                         "store can be exported",
                         m->kind->name, path_of(x));
    if (m->previous)
        return xml_error(m->previous->at, RC_ILLEGAL, err,
                         "a rolling change of %s is under way: end it first, "
                         "by taking out this <Manager role=\"previous\"> "
                         "(docs/rolling-change.md)",
                         path_of(x));
    return RC_OK;
}

static bool is_named(const struct context *x, const char *path)
{
    return strcmp(path_of(x), path[0] ? path : "/") == 0;
}

/* "/, /login" */
static void list_paths(const struct instance *in, char *out, size_t size)
{
    size_t len = 0;

    out[0] = '\0';
    for (size_t i = 0; i < in->context_count && len < size; i++)
        len += (size_t)snprintf(out + len, size - len, "%s%s", i ? ", " : "",
                                path_of(in->contexts[i]));
}

enum rc sessions_context(const struct instance *in, const char *path,
                         const struct context **out, struct err *err)
{
    char paths[256];

    list_paths(in, paths, sizeof paths);
    if (!path && in->context_count != 1)
        return err_set(err, RC_INVALID,
                       "margay sessions: --context PATH is missing: there are "
                       "%s",
                       paths);
    for (size_t i = 0; i < in->context_count; i++) {
        if (path && !is_named(in->contexts[i], path))
            continue;
        *out = in->contexts[i];
        return check_context(*out, err);
    }
    return err_set(err, RC_ABSENT,
                   "margay sessions: no application %s: there are %s", path,
                   paths);
}

/* ---- progress ---- */

void sessions_progress_begin(struct sessions_progress *p, const char *verb)
{
    int64_t now = instant_read().mono;

    *p = (struct sessions_progress){.verb = verb,
                                    .begun = now,
                                    .told = now,
                                    .terminal = isatty(STDERR_FILENO)};
}

void sessions_progress_tell(struct sessions_progress *p, uint64_t count)
{
    int64_t now = instant_read().mono;

    if (now - p->told < TELL_EVERY_MS)
        return;
    p->told = now;
    p->shown = true;
    fprintf(stderr, "%smargay: %" PRIu64 " sessions %s in %" PRId64 " s%s",
            p->terminal ? "\r" : "", count, p->verb, (now - p->begun) / 1000,
            p->terminal ? "\033[K" : "\n");
}

void sessions_progress_end(struct sessions_progress *p)
{
    if (p->shown && p->terminal)
        fputs("\r\033[K", stderr);
}
