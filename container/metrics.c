/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "container/metrics.h"

#include "container/connector.h"
#include "container/executor.h"
#include "container/instance.h"
#include "container/serverxml.h"
#include "session/cluster.h"
#include "session/reason.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Threads that count into different shards do not share a cache line. */
enum { SHARDS = 8, STATUSES = 600, MAX_NETWORKS = 64 };

struct network {
    uint8_t address[16]; /* IPv4 as ::ffff:a.b.c.d */
    unsigned bits;
};

struct metrics {
    struct network networks[MAX_NETWORKS];
    size_t network_count;
    struct {
        _Alignas(64) _Atomic uint64_t requests[STATUSES];
    } shards[SHARDS];
};

/* ---- who may read ---- */

static bool parse_address(const char *text, uint8_t out[16], bool *v4)
{
    struct in_addr a;
    *v4 = inet_pton(AF_INET, text, &a) == 1;
    if (!*v4)
        return inet_pton(AF_INET6, text, out) == 1;
    memset(out, 0, 10);
    out[10] = out[11] = 0xff;
    memcpy(out + 12, &a, 4);
    return true;
}

static bool parse_network(char *text, struct network *n)
{
    bool v4;
    char *slash = strchr(text, '/'), *end = NULL;
    if (slash)
        *slash = 0;
    if (!parse_address(text, n->address, &v4))
        return false;
    unsigned long most = v4 ? 32 : 128, bits = most;
    if (slash) {
        bits = strtoul(slash + 1, &end, 10);
        if (end == slash + 1 || *end || bits > most)
            return false;
    }
    n->bits = (unsigned)bits + (v4 ? 96 : 0);
    return true;
}

static bool add_network(struct metrics *m, const char *item)
{
    char text[64];
    size_t len = strlen(item);
    if (len >= sizeof text || m->network_count == MAX_NETWORKS)
        return false;
    memcpy(text, item, len + 1);
    if (!parse_network(text, &m->networks[m->network_count]))
        return false;
    m->network_count++;
    return true;
}

static bool add_allowed(struct metrics *m, const char *item)
{
    if (!strcmp(item, "loopback"))
        return add_network(m, "127.0.0.0/8") && add_network(m, "::1");
    if (!strcmp(item, "all"))
        return add_network(m, "::/0");
    return add_network(m, item);
}

enum rc metrics_new(const char *allow, struct metrics **out, struct err *err)
{
    struct metrics *m = NULL;
    if (posix_memalign((void **)&m, 64, sizeof *m))
        abort();
    memset(m, 0, sizeof *m);
    char *list = mem_strdup(allow && *allow ? allow : "loopback"), *save;
    bool ok = true;
    for (char *item = strtok_r(list, ", \t\n", &save); item && ok;
         item = strtok_r(NULL, ", \t\n", &save))
        if (!(ok = add_allowed(m, item)))
            err_set(err, RC_INVALID,
                    "metrics.allow: \"%.50s\" is neither an address, nor a "
                    "network like 10.0.0.0/8, nor loopback or all",
                    item);
    free(list);
    if (ok)
        *out = m;
    else
        metrics_free(&m);
    return ok ? RC_OK : RC_INVALID;
}

void metrics_free(struct metrics **m)
{
    free(*m);
    *m = NULL;
}

static bool within(const struct network *n, const uint8_t address[16])
{
    unsigned bytes = n->bits / 8, rest = n->bits % 8;
    if (memcmp(n->address, address, bytes) != 0)
        return false;
    uint8_t mask = (uint8_t)(0xff00u >> rest);
    return !rest || !((n->address[bytes] ^ address[bytes]) & mask);
}

bool metrics_allowed(const struct metrics *m, const char *address)
{
    uint8_t bytes[16];
    bool v4;
    if (!parse_address(address, bytes, &v4))
        return false;
    for (size_t i = 0; i < m->network_count; i++)
        if (within(&m->networks[i], bytes))
            return true;
    return false;
}

/* ---- counting ---- */

void metrics_count(struct metrics *m, unsigned shard, int status)
{
    if (m && status >= 0 && status < STATUSES)
        atomic_fetch_add_explicit(&m->shards[shard % SHARDS].requests[status],
                                  1, memory_order_relaxed);
}

/* ---- writing ---- */

struct page {
    struct buf *out;
    struct instance *in;
    struct manager_stats *stats; /* one per context; managers only */
};

static void head(struct page *p, const char *name, const char *type,
                 const char *help)
{
    buf_addf(p->out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void label_text(struct buf *out, const char *text)
{
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            buf_add_char(out, '\\');
        if (*text != '\n')
            buf_add_char(out, *text);
    }
}

/* name{context="/login",key="value"} number */
static void sample(struct page *p, const char *name, size_t context,
                   const char *key, const char *value, uint64_t number)
{
    buf_addf(p->out, "%s{context=\"", name);
    label_text(p->out, p->in->contexts[context]->path);
    buf_addf(p->out, "\",%s=\"%s\"} %" PRIu64 "\n", key, value, number);
}

static bool has_manager(const struct page *p, size_t i)
{
    return p->in->contexts[i]->manager != NULL;
}

static void write_number(struct page *p, const char *name, const char *type,
                         const char *help, uint64_t number)
{
    head(p, name, type, help);
    buf_addf(p->out, "%s %" PRIu64 "\n", name, number);
}

static void write_active(struct page *p)
{
    static const char name[] = "margay_sessions_active";
    head(p, name, "gauge", "Sessions that live in this process.");
    for (size_t i = 0; i < p->in->context_count; i++) {
        if (!has_manager(p, i))
            continue;
        sample(p, name, i, "role", "primary", p->stats[i].active);
        sample(p, name, i, "role", "backup", p->stats[i].backups);
        sample(p, name, i, "role", "proxy", p->stats[i].proxies);
    }
}

#if FRAME_VERSION_ADDED
static void write_of_next(struct page *p)
{
    static const char name[] = "margay_sessions_of_next_version";
    head(p, name, "gauge", "Sessions here that hold the next version's field.");
    for (size_t i = 0; i < p->in->context_count; i++)
        if (has_manager(p, i))
            sample(p, name, i, "role", "any", p->stats[i].of_next);
}
#endif

#define SUM(p, member)                                                         \
    ({                                                                         \
        uint64_t sum_ = 0;                                                     \
        for (size_t i_ = 0; i_ < (p)->in->context_count; i_++)                 \
            sum_ += (p)->stats[i_].member;                                     \
        sum_;                                                                  \
    })

/* The reasons of which the contract speaks are there from the start. */
static void write_reasons(struct page *p, const char *name, const char *help,
                          bool refused)
{
    head(p, name, "counter", help);
    for (int k = 0; k < REASON_COUNT; k++) {
        uint64_t n = refused ? SUM(p, refused[k]) : SUM(p, ended[k]);
        if (n || (!refused && k >= REASON_IDLE && k < REASON_RENAMED))
            buf_addf(p->out, "%s{reason=\"%s\"} %" PRIu64 "\n", name,
                     reason_text((enum reason)k), n);
    }
}

static void write_sessions(struct page *p)
{
    write_active(p);
#if FRAME_VERSION_ADDED
    write_of_next(p);
#endif
    write_number(p, "margay_sessions_exposed", "gauge",
                 "Sessions of this primary with fewer copies than they should "
                 "have.",
                 SUM(p, exposed));
    write_number(p, "margay_sessions_moved_total", "counter",
                 "Sessions that got another primary because their requests "
                 "came there.",
                 SUM(p, moved));
    write_number(p, "margay_sessions_handed_over_total", "counter",
                 "Copies made in the place of others.", SUM(p, handed_over));
    write_number(p, "margay_sessions_changes_left_out_total", "counter",
                 "Changes under an id that was replaced meanwhile, not known "
                 "to be written under the new one.",
                 SUM(p, left_out));
    write_number(p, "margay_sessions_places_bytes", "gauge",
                 "Memory of the tables that say which members hold which "
                 "session.",
                 SUM(p, place_bytes));
    write_number(p, "margay_sessions_aside", "gauge",
                 "Sessions with attributes that stay in this process.",
                 SUM(p, asides));
    write_number(p, "margay_sessions_created_total", "counter",
                 "Sessions begun.", SUM(p, created));
    write_reasons(p, "margay_sessions_ended_total", "Sessions ended.", false);
    write_number(p, "margay_sessions_renamed_total", "counter",
                 "Sessions that went on under a new id.", SUM(p, renamed));
    write_number(p, "margay_sessions_rejected_total", "counter",
                 "Sessions refused because of a limit.", SUM(p, rejected));
    write_reasons(p, "margay_session_ids_refused_total",
                  "Ids of clients that were not live.", true);
    write_number(p, "margay_revivals_refused_total", "counter",
                 "Changes that came after the end of their session.",
                 SUM(p, revivals_refused));
    write_number(p, "margay_session_conflicts_total", "counter",
                 "Writes that met another version and were merged.",
                 SUM(p, conflicts));
    write_number(p, "margay_sessions_unreadable_total", "counter",
                 "Stored rows that could not be read.", SUM(p, unreadable));
}

/* A rolling change is under way; else none of these is there. */
static void write_previous(struct page *p)
{
    static const char complete[] = "margay_previous_complete";
    static const char open[] = "margay_previous_sessions_open";
    static const char carried[] = "margay_sessions_carried_total";
    uint64_t changing = SUM(p, has_previous);
    if (!changing)
        return;
    head(p, complete, "gauge",
         "1: all that the previous manager keeps is in the next one, too, as "
         "far as this instance can see.");
    for (size_t i = 0; i < p->in->context_count; i++)
        if (p->stats[i].has_previous) {
            buf_addf(p->out, "%s{context=\"", complete);
            label_text(p->out, p->in->contexts[i]->path);
            buf_addf(p->out, "\"} %d\n", p->stats[i].previous_complete);
        }
    write_number(p, open, "gauge",
                 "Sessions of which the last look at all of them could not "
                 "tell.",
                 SUM(p, previous_open));
    write_number(p, carried, "counter",
                 "Sessions brought to the next manager by this instance.",
                 SUM(p, carried));
}

static void write_replication(struct page *p)
{
    uint64_t oldest = 0;
    for (size_t i = 0; i < p->in->context_count; i++)
        if (p->stats[i].oldest_unsaved_ms > oldest)
            oldest = p->stats[i].oldest_unsaved_ms;
    struct cluster_figures f = {.members = 1};
    if (p->in->cluster)
        p->in->config->cluster->ops->figures(p->in->cluster, &f);
    if ((uint64_t)(f.oldest * 1000) > oldest)
        oldest = (uint64_t)(f.oldest * 1000);
    write_number(p, "margay_cluster_members", "gauge",
                 "Members, this one included.", f.members);
    write_number(p, "margay_cluster_members_complete", "gauge",
                 "Other members that hold a whole copy.", f.complete);
    write_number(p, "margay_cluster_garbage_total", "counter",
                 "Frames and connections at the cluster's port that were "
                 "refused.",
                 f.garbage);
    write_number(p, "margay_cluster_members_given_up_total", "counter",
                 "Members that were not waited for any more.", f.given_up);
    write_number(p, "margay_cluster_leaves_repaired_total", "counter",
                 "Ranges of ids in which copies differed.", f.repaired);
    write_number(p, "margay_cluster_frame_version", "gauge",
                 "The version of what members say to each other that this one "
                 "knows at most.",
                 f.version);
    write_number(p, "margay_cluster_links_of_older_version", "gauge",
                 "Members with which an older one is spoken: some are left to "
                 "upgrade.",
                 f.older);
    write_number(p, "margay_cluster_releases_told_total", "counter",
                 "Members of a newer version that said what program they are.",
                 f.releases);
    write_number(p, "margay_replication_bytes_sent_total", "counter",
                 "Bytes sent to other members.", f.bytes_sent);
    write_number(p, "margay_replication_frames_sent_total", "counter",
                 "Frames sent to other members.", f.frames_sent);
    write_number(p, "margay_replication_unacknowledged_updates", "gauge",
                 "Changes that exist in this process only (where many are on "
                 "their way: as of at most a second ago).",
                 SUM(p, unsaved) + f.unacknowledged);
    head(p, "margay_replication_oldest_unacknowledged_seconds", "gauge",
         "Age of the oldest of them.");
    buf_addf(p->out,
             "margay_replication_oldest_unacknowledged_seconds %" PRIu64
             ".%03" PRIu64 "\n",
             oldest / 1000, oldest % 1000);
}

static void write_store(struct page *p)
{
    static const char name[] = "margay_store_operations_total";
    static const struct {
        const char *operation, *result;
    } kinds[8] = {
        {"get", "ok"},     {"get", "absent"},    {"get", "failed"},
        {"put", "ok"},     {"put", "conflict"},  {"put", "absent"},
        {"put", "failed"}, {"put", "uncertain"},
    };
    head(p, name, "counter", "Questions to the store, by what it answered.");
    for (int k = 0; k < 8; k++)
        buf_addf(p->out, "%s{operation=\"%s\",result=\"%s\"} %" PRIu64 "\n",
                 name, kinds[k].operation, kinds[k].result,
                 SUM(p, store_ops[k]));
    head(p, "margay_store_available", "gauge",
         "1: the last contact succeeded.");
    for (size_t i = 0; i < p->in->context_count; i++)
        if (p->stats[i].has_store) {
            buf_add_str(p->out, "margay_store_available{context=\"");
            label_text(p->out, p->in->contexts[i]->path);
            buf_addf(p->out, "\"} %d\n", p->stats[i].store_available);
        }
}

static void write_http(struct page *p, struct metrics *m)
{
    static const char name[] = "margay_http_requests_total";
    head(p, name, "counter", "Requests answered.");
    for (int status = 0; status < STATUSES; status++) {
        uint64_t n = 0;
        for (int i = 0; i < SHARDS; i++)
            n += atomic_load_explicit(&m->shards[i].requests[status],
                                      memory_order_relaxed);
        if (n || status == 200)
            buf_addf(p->out, "%s{status=\"%d\"} %" PRIu64 "\n", name, status,
                     n);
    }
    struct connector_stats sum = {0}, c;
    for (size_t i = 0; i < p->in->connector_count; i++) {
        connector_stats(p->in->connectors[i], &c);
        sum.connections += c.connections;
        sum.waiting += c.waiting;
        sum.waits_expired += c.waits_expired;
        sum.waits_refused += c.waits_refused;
    }
    write_number(p, "margay_http_connections", "gauge", "Open connections.",
                 sum.connections);
    write_number(p, "margay_http_waiting", "gauge",
                 "Requests that wait for an answer about their session.",
                 sum.waiting);
    write_number(p, "margay_http_waits_expired_total", "counter",
                 "Waits over waitTimeout: 503.", sum.waits_expired);
    write_number(p, "margay_http_waits_refused_total", "counter",
                 "Requests over maxWaiting: 503.", sum.waits_refused);
}

static void write_executor(struct page *p)
{
    struct executor_stats s;
    if (!p->in->executor)
        return;
    executor_stats(p->in->executor, &s);
    write_number(p, "margay_executor_threads", "gauge", "Threads.", s.threads);
    write_number(p, "margay_executor_busy", "gauge", "Threads at work.",
                 s.busy);
    write_number(p, "margay_executor_queued", "gauge",
                 "Requests that wait for a thread.", s.queued);
    write_number(p, "margay_executor_refused_total", "counter",
                 "Requests over maxQueueSize: 503.", s.refused);
}

void metrics_write(struct metrics *m, struct instance *in, struct buf *out)
{
    struct page p = {.out = out, .in = in};
    p.stats = mem_zero(in->context_count * sizeof *p.stats);
    for (size_t i = 0; i < in->context_count; i++)
        if (has_manager(&p, i))
            manager_stats(in->contexts[i]->manager, &p.stats[i]);
    write_sessions(&p);
    write_previous(&p);
    write_replication(&p);
    write_store(&p);
    write_http(&p, m);
    write_executor(&p);
    free(p.stats);
}
