/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "managers/cluster/cluster_impl.h"

#include "session/first_line.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BACKLOG 128
#define MAKE_A_KEY "openssl rand -hex 32 makes one"

static bool is_said(const char *text)
{
    return text && *text;
}

static bool is_address(const char *text)
{
    return is_said(text) && strcmp(text, "auto") != 0;
}

/* --- the configuration ------------------------------------------------------
 */

#define KEY_LINE_MAX 512

static enum rc read_key(const char *path, struct tls_key **out, struct err *err)
{
    char line[KEY_LINE_MAX];
    int why = first_line_read(path, line, sizeof line);
    enum rc rc;

    if (why)
        rc = err_set(err, RC_INVALID,
                     "the file of the cluster's key, %.200s, cannot be read: "
                     "%s",
                     path, strerror(why));
    else if (line[0])
        rc = tls_key_new(line, out, err);
    else
        rc = err_set(err, RC_INVALID,
                     "the file of the cluster's key, %.200s, is empty: openssl "
                     "rand -hex 32 makes a key",
                     path);
    explicit_bzero(line, sizeof line);
    return rc;
}

static enum rc settle_certificate(struct cluster *c,
                                  const struct cluster_options *o,
                                  struct err *err)
{
    if (!is_said(o->certificate) || !is_said(o->certificate_key) ||
        !is_said(o->authority))
        return err_set(err, RC_INVALID,
                       "certificateFile, certificateKeyFile and "
                       "caCertificateFile go together: name all three");
    if (is_said(o->key) || is_said(o->key_file) || is_said(o->encryption_key))
        return err_set(err, RC_INVALID,
                       "there is a key as well as a certificate: keep one of "
                       "them");
    return tls_key_load(o->certificate, o->certificate_key, o->authority,
                        &c->key, err);
}

static enum rc settle_key(struct cluster *c, const struct cluster_options *o,
                          struct err *err)
{
    if (is_said(o->certificate) || is_said(o->certificate_key) ||
        is_said(o->authority))
        return settle_certificate(c, o, err);
    if (is_said(o->key))
        return tls_key_new(o->key, &c->key, err);
    if (is_said(o->key_file))
        return read_key(o->key_file, &c->key, err);
    if (is_said(o->encryption_key))
        return tls_key_new(o->encryption_key, &c->key, err);
    return RC_OK;
}

static enum rc add_member(struct cluster *c, const char *text, size_t len,
                          struct err *err)
{
    char host[ADDRESS_HOST_MAX], *copy;
    unsigned port;

    c->listed = true;
    copy = mem_strndup(text, len);
    if (len >= ADDRESS_MAX || !address_split(copy, host, &port)) {
        err_set(err, RC_INVALID,
                "\"%.64s\" in the list of members is no host:port: write "
                "host:port,host:port,...",
                copy);
        free(copy);
        return RC_INVALID;
    }
    if (c->member_count == FRAME_MEMBERS_MAX) {
        free(copy);
        return err_set(err, RC_TOOBIG, "more than %d members are listed",
                       FRAME_MEMBERS_MAX);
    }
    c->members =
        mem_resize(c->members, (c->member_count + 1) * sizeof *c->members);
    c->members[c->member_count++] = copy;
    return RC_OK;
}

static enum rc settle_members(struct cluster *c, const char *list,
                              struct err *err)
{
    static const char blanks[] = ", \t\r\n";
    enum rc rc = RC_OK;

    for (list = list ? list : ""; *list && rc == RC_OK;) {
        size_t len;
        list += strspn(list, blanks);
        len = strcspn(list, blanks);
        if (len)
            rc = add_member(c, list, len, err);
        list += len;
    }
    return rc;
}

static enum rc settle_advertise(struct cluster *c, const char *text,
                                struct err *err)
{
    char host[ADDRESS_HOST_MAX];
    unsigned port;

    if (!is_said(text))
        return RC_OK;
    if (strlen(text) >= ADDRESS_MAX || !address_split(text, host, &port))
        return err_set(err, RC_INVALID,
                       "advertise=\"%.64s\" is no host:port: write where the "
                       "other members reach this one, or leave it out",
                       text);
    c->advertise = mem_strdup(text);
    return RC_OK;
}

static void settle_host(struct cluster *c, const struct cluster_options *o)
{
    char host[ADDRESS_HOST_MAX] = "127.0.0.1";
    struct sockaddr_storage sa;

    if (is_address(o->address))
        snprintf(host, sizeof host, "%s", o->address);
    else if (is_address(o->receiver_address))
        snprintf(host, sizeof host, "%s", o->receiver_address);
    else if (c->key && address_of_machine(&sa))
        address_host((struct sockaddr *)&sa, host);
    c->host = mem_strdup(host);
    c->port = (unsigned)(o->port ? o->port : o->receiver_port);
    c->port_tries = c->listed || o->auto_bind < 1 ? 1 : (unsigned)o->auto_bind;
}

static void settle_times(struct cluster *c, const struct cluster_options *o)
{
    int64_t drop = o->mcast_drop_time;

    if (c->listed && o->expiration_time)
        drop = o->expiration_time;
    if (o->drop_time)
        drop = o->drop_time * 1000;
    c->settings.drop_ms = drop;
    c->settings.forget_ms = o->forget_after * 1000;
    c->ended_keep_ms = o->ended_keep * 1000;
}

static void settle_mcast(struct cluster *c, const struct cluster_options *o)
{
    c->by_multicast = !c->listed && (o->start_options & 12);
    c->mcast_group = mem_strdup(o->mcast_address);
    c->mcast_bind = is_said(o->mcast_bind) ? mem_strdup(o->mcast_bind) : NULL;
    c->mcast = (struct multicast_options){
        .group = c->mcast_group,
        .port = (unsigned)o->mcast_port,
        .bind = c->mcast_bind,
        .ttl = (int)o->mcast_ttl,
        .loop_off = o->mcast_loop_off,
        .frequency_ms = o->mcast_frequency,
        .cluster = c->identity,
        .name = c->name,
        .address = c->address,
        .node = c->node,
        .key = c->key && tls_key_is_shared(c->key) ? c->key : NULL,
        .log = c->log,
    };
}

enum rc cluster_settle(struct cluster *c, const struct cluster_options *o,
                       struct err *err)
{
    const char *name = is_said(o->name) ? o->name : "margay";
    int n = is_said(o->domain)
                ? snprintf(c->identity, sizeof c->identity, "%s/%s", name,
                           o->domain)
                : snprintf(c->identity, sizeof c->identity, "%s", name);
    enum rc rc;

    if ((size_t)n >= sizeof c->identity)
        return err_set(err, RC_INVALID,
                       "the cluster's name is longer than %d bytes",
                       FRAME_NAME_MAX);
    rc = settle_key(c, o, err);
    if (rc == RC_OK)
        rc = settle_members(c, o->members, err);
    if (rc == RC_OK)
        rc = settle_members(c, buf_str(&o->list), err);
    if (rc == RC_OK)
        rc = settle_advertise(c, o->advertise, err);
    if (rc != RC_OK)
        return rc;
    settle_host(c, o);
    settle_times(c, o);
    settle_mcast(c, o);
    return RC_OK;
}

/* --- the address ------------------------------------------------------------
 */

static enum rc refuse_clear(const char *what, const char *host, struct err *err)
{
    return err_set(err, RC_INVALID,
                   "%s %.200s is beyond loopback, and there is no key: set "
                   "cluster.key (or cluster.keyFile) to the same hex digits at "
                   "every member (" MAKE_A_KEY ")",
                   what, host);
}

/* Sessions do not leave the machine unencrypted. */
enum rc cluster_check_clear(const struct cluster *c, struct err *err)
{
    struct sockaddr_storage sa;
    char host[ADDRESS_HOST_MAX];
    unsigned port;

    if (c->key)
        return RC_OK;
    if (!address_is_loopback((const struct sockaddr *)&c->bound))
        return refuse_clear("the cluster's address", c->host, err);
    for (size_t i = 0; i < c->member_count; i++)
        if (address_split(c->members[i], host, &port) &&
            address_numeric(host, port, &sa) &&
            !address_is_loopback((struct sockaddr *)&sa))
            return refuse_clear("the member", c->members[i], err);
    log_line(c->log, LOG_WARN, "cluster",
             "without a key this member speaks to members on this machine "
             "only: set cluster.key (" MAKE_A_KEY ")");
    return RC_OK;
}

static int listen_at(const struct sockaddr *sa)
{
    int one = 1, fd;

    fd = socket(sa->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, sa, address_len(sa)) < 0 || listen(fd, BACKLOG) < 0) {
        int saved = errno;
        close(fd);
        errno = saved;
        return -1;
    }
    return fd;
}

static enum rc say_why(const struct cluster *c, int error, struct err *err)
{
    char holder[96];

    if (error == EADDRINUSE && c->port_tries > 1)
        return err_set(err, RC_UNAVAILABLE,
                       "no port is free on %.200s from %u to %u: set "
                       "cluster.port",
                       c->host, c->port, c->port + c->port_tries - 1);
    if (error == EADDRINUSE) {
        address_holder(c->port, holder);
        return err_set(err, RC_UNAVAILABLE,
                       "%s listens on %.200s port %u, which the list of "
                       "members names for this one: stop it, or set "
                       "cluster.port",
                       *holder ? holder : "another program", c->host, c->port);
    }
    return err_set(err, RC_UNAVAILABLE,
                   "cannot listen on %.200s port %u (%s): set cluster.address "
                   "to an address of this machine and cluster.port to a free "
                   "port above 1023",
                   c->host, c->port, strerror(error));
}

enum rc cluster_listen(struct cluster *c, struct err *err)
{
    struct sockaddr *sa = (struct sockaddr *)&c->bound;
    socklen_t len = sizeof c->bound;
    int error = EADDRINUSE;

    for (unsigned i = 0; i < c->port_tries && c->port + i <= 65535; i++) {
        address_set_port(sa, c->port + i);
        c->listen_fd = listen_at(sa);
        if (c->listen_fd >= 0) {
            getsockname(c->listen_fd, sa, &len);
            return RC_OK;
        }
        error = errno;
        if (error != EADDRINUSE)
            break;
    }
    return say_why(c, error, err);
}

/* Where others reach it: what was configured; for "everywhere" the machine. */
static void settle_address(struct cluster *c)
{
    const struct sockaddr *sa = (const struct sockaddr *)&c->bound;
    struct sockaddr_storage machine;
    char host[ADDRESS_HOST_MAX];

    snprintf(host, sizeof host, "%s", c->host);
    if (address_is_any(sa) && address_of_machine(&machine))
        address_host((struct sockaddr *)&machine, host);
    if (c->advertise)
        snprintf(c->address, sizeof c->address, "%s", c->advertise);
    else
        address_join(host, address_port(sa), c->address);
    if (c->mcast.bind || sa->sa_family != AF_INET)
        return;
    if (!address_is_any(sa))
        c->mcast_bind = mem_strdup(address_host(sa, host));
    c->mcast.bind = c->mcast_bind;
}

static bool is_this_one(const struct cluster *c, const char *member)
{
    struct sockaddr_storage sa;
    char host[ADDRESS_HOST_MAX];
    unsigned port;

    if (strcmp(member, c->address) == 0)
        return true;
    if (!address_split(member, host, &port) ||
        port != address_port((const struct sockaddr *)&c->bound))
        return false;
    if (strcmp(host, "localhost") == 0)
        return address_is_loopback((const struct sockaddr *)&c->bound);
    return address_numeric(host, port, &sa) &&
           address_equal((struct sockaddr *)&sa,
                         (const struct sockaddr *)&c->bound);
}

/* Members agree on it because they agree on key and name. Without a key it is
 * no secret: then members are on loopback, and no client's id ever finds what
 * is kept under it. */
static void make_secret(struct cluster *c)
{
    static const uint8_t none[ID_SIZE];
    uint8_t tag[TLS_TAG_SIZE];

    if (c->key) {
        tls_tag(c->key, c->identity, strlen(c->identity) + 1, tag);
        memcpy(c->secret, tag, ID_SIZE);
    } else {
        id_of_user(none, "", c->identity, strlen(c->identity), c->secret);
    }
    c->channel.secret = c->secret;
}

static void open_core(struct cluster *c)
{
    struct core_out out = {
        .user = c,
        .send = cluster_out_send,
        .close = cluster_out_close,
        .dial = cluster_out_dial,
    };
    struct core_options o = c->settings;

    o.cluster = c->identity;
    o.name = c->name;
    o.address = c->address;
    o.node = c->node;
    o.listed = c->listed;
    o.log = c->log;
    c->core = core_new(&o, &out, &c->channel, instant_read());
    for (size_t i = 0; i < c->member_count; i++)
        if (!is_this_one(c, c->members[i]))
            core_place(c->core, c->members[i], true);
}

enum rc cluster_open(struct cluster *c, struct err *err)
{
    enum rc rc = address_resolve(c->host, c->port, &c->bound, err);

    if (rc == RC_OK)
        rc = cluster_check_clear(c, err);
    if (rc == RC_OK)
        rc = cluster_listen(c, err);
    if (rc != RC_OK)
        return rc;
    settle_address(c);
    make_secret(c);
    open_core(c);
    return RC_OK;
}
