/* SPDX-License-Identifier: Apache-2.0
 *
 * frame.h: what members say to each other, as bytes.
 *
 * What    A link carries frames: a length (4 bytes, little endian, of what
 *         follows) and one MessagePack array whose first element is the type.
 *         docs/frames.md is the page from which it can be implemented; this
 *         file, frame.c (reads) and frame_write.c are the only ones that know
 *         it. The length belongs to the link (frame_split); everything else
 *         here works on what follows it, called the body.
 * Times   `mono` is the sender's monotonic clock (ms) when it wrote the frame,
 *         0..FRAME_TIME_MAX. An access travels as its age at that moment, of
 *         the same range (a later one as 0, an earlier one as the greatest);
 *         the structs here hold it as a moment of the sender's clock, which
 *         may be negative. So no sum or difference of these overflows.
 * Owns    A decoded frame borrows the bytes that it was decoded from.
 * Errors  frame_decode refuses whatever is not exactly a frame (RC_INVALID; a
 *         HELLO of a version below FRAME_VERSION_OLDEST: RC_UNSUPPORTED): no
 *         length, count or number of a stranger is believed. Of a HELLO of a
 *         newer version than this build's it passes over what follows the
 *         elements of ours. Whether a frame belongs to the version of its link
 *         is the caller's to see (frame_since). The records inside are
 *         only found here: record_decode checks them. What is beyond a limit
 *         when it is written is a bug of the writer's, and asserts.
 * Threads Any. */
#ifndef MARGAY_MANAGERS_CLUSTER_FRAME_H
#define MARGAY_MANAGERS_CLUSTER_FRAME_H

#include "session/id.h"
#include "session/pack.h"
#include "session/rc.h"

/* What this build speaks at most (config.h adds one for a build that plays the
 * next release), and the oldest that it understands. A link uses the lower of
 * what the two ends speak at most. */
#define FRAME_VERSION (2 + FRAME_VERSION_ADDED)
#define FRAME_VERSION_OLDEST 2
/* Since then there is FRAME_RELEASE. No release speaks it yet. */
#define FRAME_VERSION_RELEASE 3
/* No body is longer, and nobody makes room for more: the largest session
 * (RECORD_MAX_BYTES) and what stands around it. */
#define FRAME_MAX ((16u << 20) + (256u << 10))
/* A frame of many things is closed when it is longer than this. */
#define FRAME_FULL (64u << 10)
#define FRAME_TIME_MAX (INT64_MAX / 4) /* ms */
/* Bytes of a name, an address, a refusal; one that is below 32, or 127, is
 * written as '?'. */
#define FRAME_NAME_MAX 255
#define FRAME_MEMBERS_MAX 1024
#define FRAME_APPS_MAX 1024
/* Ids in a RECORDS, entries of a LEAF: a leaf of more is compared in parts. */
#define FRAME_WANTS_MAX 512
#define FRAME_LIST_MAX (FRAME_FULL / FRAME_ENTRY)
#define FRAME_ENTRY 24 /* id, then 8 bytes of hash, little endian */

enum frame_type {
    FRAME_HELLO = 1,    /* the first one, in both directions */
    FRAME_PULSE = 3,    /* I am here; the second one, and twice a second */
    FRAME_UPDATES = 4,  /* what happened here, in order */
    FRAME_ACK = 5,      /* what I have applied of yours */
    FRAME_MISSED = 6,   /* I cannot send again what you lack: compare */
    FRAME_SUMS_ASK = 7, /* comparing: begin */
    FRAME_SUMS = 8,     /* all leaves of one application in a number each */
    FRAME_LEAF = 9,     /* what I have in this leaf */
    FRAME_RECORDS = 10, /* answer: what you lack of it, and what I lack */
    FRAME_GIVE = 11,    /* records, unasked or wanted */
    FRAME_ASK = 12,     /* do you have this session? */
    FRAME_TOLD = 13,    /* answer to ASK */
    FRAME_LEAVE = 14,   /* an orderly stop: do not wait for me */
    FRAME_REFUSED = 15, /* you may not join; the text says why */
    FRAME_CALL = 16,  /* do this, for a session of which you are the primary */
    FRAME_REPLY = 17, /* answer to CALL */
    FRAME_KNOWN_ASK = 18, /* may these starts of members come back? */
    FRAME_KNOWN = 19,     /* answer: which of them, by all that I know */
    FRAME_RELEASE = 20    /* what program I am; since FRAME_VERSION_RELEASE */
};

enum call_kind {
    CALL_FIND = 0,  /* the session, as it stands; counts as an access */
    CALL_PEEK = 1,  /* the same, and is no access */
    CALL_COMMIT = 2 /* merge this delta, and answer when the holders have it */
};
enum call_answer {
    CALL_UNAVAILABLE = 0, /* it cannot say, or may not answer, or is not there;
                             no record */
    CALL_OK = 1,     /* FIND: the record. COMMIT: done; users' records, and a
                        session that had ended before: the record */
    CALL_SAME = 2,   /* FIND: it is what you have; no record */
    CALL_ABSENT = 3, /* nobody knows the id; with a tombstone: it has ended */
    CALL_ELSEWHERE = 4, /* not the primary: the place says who is; no record */
    CALL_ENDED = 5,     /* COMMIT: it has ended; the record is the tombstone */
    CALL_LACKS = 6      /* it has not that application, so it says nothing of
                           the session; nothing with it */
};

/* A leaf: one of the ranges that ids fall into (table.h). */
#define FRAME_LEAVES 4096
/* A bit for each: leaf n is 1 << n % 8 of byte n / 8. */
#define FRAME_BITS (FRAME_LEAVES / 8)

struct frame_text {
    const char *p; /* no 0 behind it */
    uint32_t len;
};

struct frame_hello {
    uint32_t version; /* the highest that the sender speaks */
    uint64_t node;    /* of this start; never 0 */
    uint64_t to;      /* the start that the sender believes to speak to; 0: it
                         does not know */
    int64_t started;  /* wall ms, 0..FRAME_TIME_MAX: the newer start of one
                         name replaces */
    int64_t apart;    /* ms since the sender last heard from `to`;
                         negative (on the wire -1): never */
    uint32_t members; /* in the sender's view, itself included */
    uint64_t lowest;  /* the lowest node among them */
    struct frame_text cluster, name, address; /* address: "host:port" */
};

/* What the receiver's stream is known to have brought. */
struct frame_ack {
    uint64_t applied; /* everything up to here */
    /* and (from, to], when there is a hole: empty as long as nothing has come
     * from behind it; without a hole both are 0 */
    uint64_t ahead_from, ahead_to;
};

struct frame_pulse {
    int64_t mono;
    int64_t echo; /* the latest `mono` of the receiver that was heard;
                     negative (on the wire -1): none */
    bool waits;   /* the sender's commits wait for the receiver */
    /* How it came to that, as state and not as an event, so that no loss of a
     * frame can hide it: each time the sender begins to wait for the receiver
     * it counts epoch up, and floor is its last update at that moment: the
     * receiver needs all up to it before it answers anybody. compare: the
     * sender may have acknowledged changes without the receiver before. */
    uint64_t epoch, floor;
    bool compare;
    bool answering; /* the sender may answer from its own copies */
    bool drains;    /* its instance ends soon; it serves whom it is sent */
    uint64_t seq;   /* the sender's last update */
    struct frame_ack ack;
    struct pack_reader roots; /* frame_next_root */
    uint32_t root_count;
};
/* An application that the sender has. */
struct frame_root {
    uint32_t app;
    uint64_t sum;
    bool leaves; /* it stops in order: it is to hold no more sessions of it */
};

struct frame_updates {
    uint64_t from, to; /* the stream's (from, to]; what concerns the receiver
                          of these is inside */
    int64_t mono;
    bool waits;   /* an answer waits for the receiver's ack of these */
    bool has_ack; /* else there is none in it */
    struct frame_ack ack;
    struct pack_reader rest; /* frame_next_update */
    uint32_t count;
};

enum update_kind {
    UPDATE_RECORD = 0, /* bytes: a record or a delta, to be merged */
    UPDATE_TOUCH = 1,  /* bytes: an id; only its last access moved */
    UPDATE_PLACE = 2   /* bytes: a place (place.h) */
};
struct frame_update {
    enum update_kind kind;
    uint32_t app;   /* not 0; RECORDS and GIVE: the frame's */
    uint64_t owner; /* node that had the access; 0: the sender */
    int64_t access; /* the last one, mono of the sender; on the wire its age
                       at `mono` of the frame. PLACE: owner 0: it is made now,
                       and access means nothing; else access is when the sender
                       came to know of that end (a list: any) */
    const uint8_t *bytes;
    uint32_t len; /* TOUCH: ID_SIZE; RECORD: 1..RECORD_MAX_BYTES */
};

struct frame_missed {
    uint64_t upto;
};

struct frame_sums_ask {
    uint64_t no; /* of this comparison; the answers repeat it */
};
/* One per application; the last one says so. seq and vector were read before
 * any sum was: the sums contain all of it. */
struct frame_sums {
    uint64_t no;
    bool last;
    bool answering;
    uint64_t seq;
    uint32_t app;         /* count 0 of applications: app 0, no sums, last */
    const uint8_t *ended; /* FRAME_BITS bytes: leaves with tombstones */
    const uint8_t *some;  /* FRAME_BITS bytes: leaves whose sum is not 0 */
    const uint8_t *sums;  /* 8 bytes (little endian) for each bit of `some` */
    uint32_t sum_count;
    struct pack_reader vector; /* frame_next_applied */
    uint32_t vector_count;
};
struct frame_applied {
    uint64_t node, seq;
};

/* A leaf is compared in parts, so that no answer is long: a LEAF says where the
 * part begins, its RECORDS where it ends, and the next LEAF begins there. */
struct frame_leaf {
    uint64_t no;
    uint32_t app, leaf;
    const uint8_t *after; /* ids behind this one; NULL: from the first on */
    bool ended;           /* tombstones are wanted as well */
    /* sorted by id, all behind `after`. FRAME_LIST_MAX of them: the part ends
     * with the last one at the latest */
    const uint8_t *entries;
    uint32_t count;
};
struct frame_records {
    uint64_t no; /* GIVE: 0, and it wants nothing */
    uint32_t app, leaf;
    /* the part's last id, or one behind it that nobody has; NULL: it is the
     * leaf's last part. GIVE: NULL */
    const uint8_t *upto;
    int64_t mono;
    const uint8_t *wants; /* ids */
    uint32_t want_count;
    struct pack_reader rest; /* frame_next_update, kinds RECORD and PLACE */
    uint32_t count;
};

struct frame_ask {
    uint64_t no;
    uint32_t app;
    const uint8_t *id;
};
struct frame_told {
    uint64_t no;
    bool answering; /* false: the sender cannot know */
    int64_t mono;
    bool found;
    struct frame_update update; /* found: a RECORD */
};

struct frame_call {
    uint64_t no;
    uint32_t app;
    const uint8_t *id;
    enum call_kind kind;
    uint64_t have; /* FIND, PEEK: replica_hash of the copy there; 0: none.
                      COMMIT: 0 */
    const uint8_t *delta; /* COMMIT: 1..RECORD_MAX_BYTES; else none */
    uint32_t delta_len;
};
struct frame_reply {
    uint64_t no;
    enum call_answer answer;
    int64_t mono;
    uint32_t count; /* 0..2 updates of one application: a PLACE, a RECORD, in
                       this order */
    struct pack_reader rest; /* frame_next_update */
};
/* Which of them such an answer may have; ELSEWHERE must have its place. */
bool frame_reply_may(enum call_answer answer, bool place, bool record);

/* Starts that the sender has never met, and that stand in places. */
struct frame_known_ask {
    struct pack_reader nodes; /* frame_next_node */
    uint32_t count;           /* at most FRAME_MEMBERS_MAX */
};
struct frame_known {
    struct pack_reader rest; /* frame_next_known */
    uint32_t count;
};
struct frame_known_one {
    uint64_t node;
    bool known; /* the sender does not take it for gone */
};

struct frame {
    enum frame_type type;
    union {
        struct frame_hello hello;
        struct frame_pulse pulse;
        struct frame_updates updates;
        struct frame_ack ack;
        struct frame_missed missed;
        struct frame_sums_ask sums_ask;
        struct frame_sums sums;
        struct frame_leaf leaf;
        struct frame_records records; /* RECORDS and GIVE */
        struct frame_ask ask;
        struct frame_told told;
        struct frame_text refused, release;
        struct frame_call call;
        struct frame_reply reply;
        struct frame_known_ask known_ask;
        struct frame_known known;
    };
};

/* The next frame of what has come over a link: 1 and its body; 0: not all of
 * it is here yet, *need says how many bytes from `bytes` on will do; -1: a
 * length that is no frame's (0, or above FRAME_MAX). The next frame begins
 * behind the body. */
int frame_split(const uint8_t *bytes, size_t len, const uint8_t **body,
                size_t *body_len, size_t *need);

/* All of the body is checked, also what the iterators below walk. */
enum rc frame_decode(const uint8_t *body, size_t len, struct frame *out,
                     struct err *err);
/* The first version that has it. */
unsigned frame_since(enum frame_type type);
/* Each returns false when there is no more. */
bool frame_next_root(struct frame_pulse *f, struct frame_root *out);
/* mono: of the frame, so that the access can be said in the sender's time. */
bool frame_next_update(struct pack_reader *rest, uint32_t *count, int64_t mono,
                       struct frame_update *out);
bool frame_next_applied(struct frame_sums *f, struct frame_applied *out);
bool frame_next_node(struct frame_known_ask *f, uint64_t *node);
bool frame_next_known(struct frame_known *f, struct frame_known_one *out);

/* ---- writing ---- */

/* Appends whole frames to w, which the caller inits and releases. */
void frame_hello(struct pack_writer *w, const struct frame_hello *f);
void frame_pulse(struct pack_writer *w, const struct frame_pulse *f,
                 const struct frame_root *roots);
void frame_ack(struct pack_writer *w, const struct frame_ack *f);
void frame_missed(struct pack_writer *w, uint64_t upto);
void frame_sums_ask(struct pack_writer *w, uint64_t no);
/* sums: FRAME_LEAVES of them; `some`, `sums` and `vector` of f are not used. */
void frame_sums(struct pack_writer *w, const struct frame_sums *f,
                const uint64_t *sums, const struct frame_applied *vector);
void frame_leaf(struct pack_writer *w, const struct frame_leaf *f);
void frame_ask(struct pack_writer *w, const struct frame_ask *f);
void frame_told(struct pack_writer *w, const struct frame_told *f);
void frame_call(struct pack_writer *w, const struct frame_call *f);
void frame_reply(struct pack_writer *w, const struct frame_reply *f,
                 const struct frame_update *updates);
void frame_leave(struct pack_writer *w);
void frame_known_ask(struct pack_writer *w, const uint64_t *nodes,
                     uint32_t count);
void frame_known(struct pack_writer *w, const struct frame_known_one *all,
                 uint32_t count);
/* At most FRAME_NAME_MAX bytes of it. */
void frame_refused(struct pack_writer *w, const char *text);
void frame_release(struct pack_writer *w, const char *text);
/* UPDATES, RECORDS and GIVE are written with all their `count` updates at
 * once. f->rest is not used. */
void frame_updates(struct pack_writer *w, const struct frame_updates *f,
                   const struct frame_update *updates);
void frame_records(struct pack_writer *w, enum frame_type type,
                   const struct frame_records *f,
                   const struct frame_update *updates);

/* The bytes that an update takes in a frame, at most. */
size_t frame_update_size(const struct frame_update *u);

#endif
