/* SPDX-License-Identifier: Apache-2.0
 *
 * Members of two releases: what a link speaks is what both ends understand, a
 * frame of the newer release goes to those only that know it, who is too old or
 * does not keep to it is refused. And a field that a release does not know is
 * kept through all that is done with a session. (Two real builds: e_upgrade.c.)
 */
#include "config.h"

#include "tests/cores.h"

#include "session/record_impl.h"
#include "tests/records.h"
#include "tests/unit.h"

#include <string.h>

enum { OLD = FRAME_VERSION_OLDEST, NEW = FRAME_VERSION_RELEASE };

/* ---- links ---- */

/* A letter for each host: o(ld), n(ew). */
static struct net *net_of_versions(const char *letters)
{
    struct net *n = net_new((int)strlen(letters));

    for (int i = 0; i < n->count; i++)
        n->hosts[i].core->options.version = letters[i] == 'o' ? OLD : NEW;
    net_pass(n, DROP + 1000);
    return n;
}

/* at's link to of, and how often at was told what program others are. */
#define SPEAKS(n, at, of) (net_peer(n, at, of)->version)
#define TOLD(n, at) ((n)->hosts[at].core->releases)

static void all_answer(struct net *n)
{
    for (int i = 0; i < n->count; i++) {
        CU_ASSERT(net_answers(n, i));
        CHECK_INT(n->hosts[i].core->garbage, 0);
    }
}

static void a_link_speaks_what_both_know(void)
{
    struct net *n = net_of_versions("onn");

    all_answer(n);
    CHECK_INT(SPEAKS(n, 0, 1), OLD);
    CHECK_INT(SPEAKS(n, 1, 0), OLD);
    CHECK_INT(SPEAKS(n, 2, 0), OLD);
    CHECK_INT(SPEAKS(n, 1, 2), NEW);
    CHECK_INT(SPEAKS(n, 2, 1), NEW);
    CHECK_INT(TOLD(n, 0), 0);
    CHECK_INT(TOLD(n, 1), 1);
    CHECK_INT(TOLD(n, 2), 1);
    CHECK_INT(version_older(n->hosts[0].core), 0);
    CHECK_INT(version_older(n->hosts[1].core), 1);
    net_free(&n);
}

/* One after another comes back as the other version. */
static void become(struct net *n, int i, unsigned version, uint64_t node)
{
    core_stop(n->hosts[i].core, n->now);
    net_deliver(n);
    for (int j = 0; j < n->count; j++)
        net_cut(n, i, j, true);
    core_free(&n->hosts[i].core);
    for (int j = 0; j < n->count; j++)
        net_cut(n, i, j, false);
    net_start(n, i, node);
    n->hosts[i].core->options.version = version;
    net_pass(n, DROP + 1000);
}

static void up_and_down_again(void)
{
    struct net *n = net_of_versions("ooo");
    struct commit c;

    for (int i = 0; i < 6; i++) {
        become(n, i % 3, i < 3 ? NEW : OLD, (uint64_t)(200 + i));
        all_answer(n);
        net_commit(n, i % 3, &c);
        net_pass(n, 200);
        CHECK_INT(c.done, 1);
        CHECK_INT(c.rc, RC_OK);
        CHECK_INT(version_older(n->hosts[i % 3].core), i < 2 ? 2 - i : 0);
    }
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 3; j++)
            if (i != j)
                CHECK_INT(SPEAKS(n, i, j), OLD);
    net_free(&n);
}

/* ---- who does not keep to it ---- */

static int say(struct net *n, struct pack_writer *w)
{
    const uint8_t *body;
    size_t len, need;
    struct core *core = n->hosts[0].core;
    int link = n->hosts[0].links++;

    CHECK_INT_FATAL(frame_split(w->data, w->len, &body, &len, &need), 1);
    core_link_up(core, link, -1, n->now);
    core_received(core, link, body, len, n->now);
    w->len = 0;
    return link;
}

static void a_frame_above_the_link_ends_it(void)
{
    struct net *n = net_of_versions("on");
    struct pack_writer w;
    const uint8_t *body;
    size_t len, need;

    pack_init(&w, 0);
    frame_release(&w, "margay");
    CHECK_INT_FATAL(frame_split(w.data, w.len, &body, &len, &need), 1);
    core_received(n->hosts[0].core, net_peer(n, 0, 1)->link, body, len, n->now);
    CHECK_INT(n->hosts[0].core->garbage, 1);
    CHECK_INT(TOLD(n, 0), 0);
    CHECK_INT(net_peer(n, 0, 1)->link, NO_LINK);
    pack_release(&w);
    net_free(&n);
}

/* A HELLO by hand: elements that a later release may have put behind ours. */
static void hello_of(struct pack_writer *w, unsigned version, unsigned more)
{
    size_t at = w->len;

    pack_raw(w, "\0\0\0\0", 4);
    pack_array(w, 11 + more);
    pack_uint(w, FRAME_HELLO);
    pack_uint(w, version);
    pack_uint(w, 4711);
    pack_uint(w, 0);
    pack_uint(w, 1);
    pack_int(w, -1);
    pack_uint(w, 1);
    pack_uint(w, 4711);
    pack_str(w, "test", 4);
    pack_str(w, "later", 5);
    pack_str(w, "later:1", 7);
    for (; more > 0; more--) {
        pack_array(w, 1);
        pack_nil(w);
    }
    w->data[at] = (uint8_t)(w->len - at - 4);
}

static void a_hello_of_any_later_release_is_understood(void)
{
    struct net *n = net_of_versions("o");
    struct core *core = n->hosts[0].core;
    struct pack_writer w;

    pack_init(&w, 0);
    hello_of(&w, FRAME_VERSION + 5, 3);
    int link = say(n, &w);
    CU_ASSERT_PTR_NOT_NULL_FATAL(peer_of(core, 4711));
    CHECK_INT(peer_of(core, 4711)->link, link);
    CHECK_INT(peer_of(core, 4711)->version, OLD);
    CHECK_INT(core->garbage, 0);
    hello_of(&w, FRAME_VERSION, 1); /* but not more of this one */
    say(n, &w);
    CHECK_INT(core->garbage, 1);
    pack_release(&w);
    net_free(&n);
}

static void one_that_is_too_old_is_told_so(void)
{
    struct net *n = net_of_versions("o");
    struct core *core = n->hosts[0].core;
    struct pack_writer w;
    uint64_t sent;

    pack_init(&w, 0);
    hello_of(&w, FRAME_VERSION_OLDEST - 1, 0);
    sent = core->frames_sent;
    say(n, &w);
    CHECK_INT(core->frames_sent, sent + 1); /* REFUSED */
    CHECK_INT(core->garbage, 1);
    CHECK_INT(core->peer_count, 0);
    pack_release(&w);
    net_free(&n);
}

/* ---- what a release does not know of a session ---- */

static const uint8_t id[ID_SIZE] = "0123456789abcde";

/* Neither FIELD_RELEASE nor any later one means anything to this build. */
static struct record *of_next_release(void)
{
    struct changes c;
    struct value v = value_number(VALUE_INT, 1);

    changes_init(&c);
    changes_set(&c, key_field(FIELD_RELEASE), &v);
    changes_set(&c, key_field(4000), &v);
    changes_set(&c, key_field(FIELD_MAX_INACTIVE), &v);
    struct record *r = record_new(RECORD_SESSION, id, 1000, &c, 1);
    changes_release(&c);
    return r;
}

static bool is_kept(const struct record *r)
{
    return record_number(r, FIELD_RELEASE) == 1 &&
           record_get(r, key_field(4000)).number == 1;
}

static void a_change_keeps_an_unknown_field(void)
{
    struct record *whole = of_next_release();
    struct record *r = record_ref(whole), *other;
    struct changes c;
    struct value v = value_text("kim");

    changes_init(&c);
    changes_set(&c, key_field(FIELD_USER), &v);
    changes_add(&c, key_text("hits"), 1);
    record_take(&r, record_apply(r, &c, 2000, 2)); /* this member */
    CU_ASSERT(is_kept(r));
    struct record *delta = record_delta(whole, &c, 2000, 2);
    CHECK_INT(record_get(delta, key_field(FIELD_RELEASE)).type, VALUE_NONE);
    other = record_merge(whole, delta); /* one to which it passes that on */
    CU_ASSERT(record_equal(r, other));
    record_unref(&other);
    CHECK_INT_FATAL(record_decode(r->bytes, r->len, &other, NULL), RC_OK);
    CU_ASSERT(record_equal(r, other)); /* over a wire, or a store */
    record_unref(&other);
    other = record_rekey(r, (const uint8_t *)"another id......");
    CU_ASSERT(is_kept(other)); /* a new id at the login */
    record_unref(&other);
    changes_release(&c);
    record_unref(&delta);
    record_unref(&r);
    record_unref(&whole);
}

UNIT_MAIN("version", CASE(a_link_speaks_what_both_know),
          CASE(up_and_down_again), CASE(a_frame_above_the_link_ends_it),
          CASE(a_hello_of_any_later_release_is_understood),
          CASE(one_that_is_too_old_is_told_so),
          CASE(a_change_keeps_an_unknown_field))
