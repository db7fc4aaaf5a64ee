/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "container/front.h"

#include "session/buf.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct front {
    struct balancer_plan plan;
    struct balancer_member *members; /* of the plan; ours: away changes */
    char folder[PATH_MAX], file[PATH_MAX + 16];
    char option[PATH_MAX + 64];
    char program[PATH_MAX];
    char host[128];
    unsigned port;
    bool stale; /* the file does not say what members do */
    char *arguments[12];
};

static const struct program {
    const char *name, *names[2], *package;
    int settle_ms; /* what its configuration says of checks, and a little */
} programs[] = {
    [BALANCER_HAPROXY] = {"haproxy", {"haproxy", NULL}, "haproxy", 2000},
    [BALANCER_NGINX] = {"nginx", {"nginx", NULL}, "nginx-light", 500},
    [BALANCER_HTTPD] = {"httpd", {"apache2", "httpd"}, "apache2-bin", 2500},
};

/* ---- the program ---- */

static bool look_in(const char *folders, const char *name, char out[PATH_MAX])
{
    while (*folders) {
        int len = (int)strcspn(folders, ":");
        snprintf(out, PATH_MAX, "%.*s/%s", len, folders, name);
        if (len > 0 && access(out, X_OK) == 0)
            return true;
        folders += len + (folders[len] == ':');
    }
    return false;
}

static enum rc find_program(struct front *f, struct err *err)
{
    const struct program *p = &programs[f->plan.kind];
    const char *path = getenv("PATH");

    for (size_t i = 0; i < 2 && p->names[i]; i++)
        if (look_in(path ? path : "", p->names[i], f->program) ||
            look_in("/usr/sbin:/usr/local/sbin", p->names[i], f->program))
            return RC_OK;
    return err_set(err, RC_UNAVAILABLE,
                   "margay: there is no %s: on Debian, apt-get install %s; or "
                   "--balancer none",
                   p->name, p->package);
}

static void write_arguments(struct front *f)
{
    size_t n = 0;

    f->arguments[n++] = f->program;
    switch (f->plan.kind) {
    case BALANCER_HAPROXY:
        f->arguments[n++] = (char *)"-db";
        f->arguments[n++] = (char *)"-f";
        break;
    case BALANCER_NGINX:
        snprintf(f->option, sizeof f->option, "daemon off; pid %s/pid;",
                 f->folder);
        f->arguments[n++] = (char *)"-p";
        f->arguments[n++] = f->folder;
        f->arguments[n++] = (char *)"-e";
        f->arguments[n++] = (char *)"stderr";
        f->arguments[n++] = (char *)"-g";
        f->arguments[n++] = f->option;
        f->arguments[n++] = (char *)"-c";
        break;
    case BALANCER_HTTPD:
        f->arguments[n++] = (char *)"-DFOREGROUND";
        f->arguments[n++] = (char *)"-d";
        f->arguments[n++] = f->folder;
        f->arguments[n++] = (char *)"-f";
        break;
    }
    f->arguments[n++] = f->file;
}

/* ---- its file ---- */

static enum rc cannot(struct err *err, const char *path)
{
    return err_set(err, RC_UNAVAILABLE,
                   "margay: cannot write %s: %s: set TMPDIR to a folder with "
                   "room",
                   path, strerror(errno));
}

/* Whole or not at all: the program may be reading it. */
static enum rc write_file(struct front *f, struct err *err)
{
    char aside[sizeof f->file + 8];
    struct buf text;
    bool done = false;
    FILE *file;

    snprintf(aside, sizeof aside, "%s.new", f->file);
    buf_init(&text, 4 << 20);
    balancer_write(&text, &f->plan);
    file = fopen(aside, "w");
    if (file) {
        done = fputs(buf_str(&text), file) >= 0;
        done &= fclose(file) == 0;
        done = done && rename(aside, f->file) == 0;
    }
    buf_release(&text);
    return done ? RC_OK : cannot(err, f->file);
}

static enum rc make_folder(struct front *f, struct err *err)
{
    const char *where = getenv("TMPDIR");

    snprintf(f->folder, sizeof f->folder, "%s/margay-front-XXXXXX",
             where && *where ? where : "/tmp");
    if (!mkdtemp(f->folder)) {
        enum rc rc = cannot(err, f->folder);
        f->folder[0] = '\0';
        return rc;
    }
    /* Workers that gave up root's rights read it, too. */
    if (chmod(f->folder, 0755) != 0)
        return cannot(err, f->folder);
    snprintf(f->file, sizeof f->file, "%s/%s.conf", f->folder, front_name(f));
    return RC_OK;
}

static void remove_folder(const char *path)
{
    DIR *dir = opendir(path);
    struct dirent *entry;

    while (dir && (entry = readdir(dir)))
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            unlinkat(dirfd(dir), entry->d_name, 0);
    if (dir)
        closedir(dir);
    rmdir(path);
}

/* "[ADDRESS:]PORT", which has been checked. */
static void split_listen(struct front *f)
{
    const char *listen = f->plan.listen, *colon = strrchr(listen, ':');
    size_t len = colon ? (size_t)(colon - listen) : 0;

    f->port = (unsigned)strtoul(colon ? colon + 1 : listen, NULL, 10);
    if (len > 1 && listen[0] == '[')
        snprintf(f->host, sizeof f->host, "%.*s", (int)len - 2, listen + 1);
    else
        snprintf(f->host, sizeof f->host, "%.*s", (int)len, listen);
    if (!f->host[0] || strcmp(f->host, "0.0.0.0") == 0 ||
        strcmp(f->host, "*") == 0)
        snprintf(f->host, sizeof f->host, "127.0.0.1");
    else if (strcmp(f->host, "::") == 0)
        snprintf(f->host, sizeof f->host, "::1");
}

/* ---- all of it ---- */

enum rc front_new(const struct balancer_plan *plan, struct front **out,
                  struct err *err)
{
    struct front *f = mem_zero(sizeof *f);
    enum rc rc;

    f->plan = *plan;
    f->members = mem_zero(plan->count * sizeof *f->members);
    memcpy(f->members, plan->members, plan->count * sizeof *f->members);
    f->plan.members = f->members;
    split_listen(f);
    rc = find_program(f, err);
    if (rc == RC_OK)
        rc = make_folder(f, err);
    if (rc == RC_OK)
        rc = write_file(f, err);
    if (rc != RC_OK) {
        front_free(&f);
        return rc;
    }
    write_arguments(f);
    *out = f;
    return RC_OK;
}

void front_free(struct front **front)
{
    struct front *f = *front;

    if (!f)
        return;
    if (f->folder[0])
        remove_folder(f->folder);
    free(f->members);
    free(f);
    *front = NULL;
}

const char *front_name(const struct front *f)
{
    return programs[f->plan.kind].name;
}

char *const *front_arguments(const struct front *f)
{
    return f->arguments;
}

const char *front_host(const struct front *f)
{
    return f->host;
}

unsigned front_port(const struct front *f)
{
    return f->port;
}

bool front_away(struct front *f, size_t i, bool away)
{
    if (f->plan.kind != BALANCER_NGINX || f->members[i].away == away)
        return false;
    f->members[i].away = away;
    return front_rewrite(f);
}

bool front_is_stale(const struct front *f)
{
    return f->stale;
}

bool front_rewrite(struct front *f)
{
    f->stale = write_file(f, NULL) != RC_OK;
    return !f->stale;
}

int front_settle_ms(const struct front *f)
{
    return programs[f->plan.kind].settle_ms;
}
