/* SPDX-License-Identifier: Apache-2.0
 *
 * Bytes that anybody could send to cluster.port: the input is a stream of
 * frames, and the whole of it is a body as well. What frame_decode takes can
 * be walked and written; what was written is a frame of the same content. */
#include "config.h"

#include "tests/frames.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect(bool held)
{
    if (!held)
        abort();
}

/* Decodes the one frame in `from` and writes it into `to`. */
static void again(const struct pack_writer *from, struct pack_writer *to)
{
    const uint8_t *body = NULL;
    size_t len = 0, need = 0;
    struct frame f;

    expect(frame_split(from->data, from->len, &body, &len, &need) == 1);
    expect(body + len == from->data + from->len);
    expect(frame_decode(body, len, &f, NULL) == RC_OK);
    pack_init(to, from->len);
    frames_again(to, &f);
}

static void one_body(const uint8_t *body, size_t len)
{
    struct pack_writer first, second;
    struct frame f;
    struct err err;

    if (frame_decode(body, len, &f, &err) != RC_OK) {
        expect(err.text[0] != 0);
        return;
    }
    pack_init(&first, len);
    frames_again(&first, &f);
    again(&first, &second);
    expect(first.len == second.len);
    expect(memcmp(first.data, second.data, first.len) == 0);
    pack_release(&second);
    pack_release(&first);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *body, *p = data, *end = data + size;
    size_t len, need;
    int rc;

    one_body(data, size);
    while ((rc = frame_split(p, (size_t)(end - p), &body, &len, &need)) == 1) {
        expect(body == p + 4 && len > 0 && len <= (size_t)(end - body));
        one_body(body, len);
        p = body + len;
    }
    expect(rc != 0 || need > (size_t)(end - p));
    return 0;
}
