/* SPDX-License-Identifier: Apache-2.0
 *
 * A line of a file of sessions that somebody wrote: what is taken is a head, an
 * end, or the whole record of a session, which is written and read back as the
 * same; what base64 takes is what it would write. */
#include "config.h"

#include "container/base64.h"
#include "container/sessions_json.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect(bool held)
{
    if (!held)
        abort();
}

static void read_base64(const char *text, size_t len)
{
    struct buf bytes, again;

    buf_init(&bytes, len + 4);
    buf_init(&again, len + 4);
    if (base64_read(&bytes, text, len)) {
        expect(base64_write(&again, bytes.data, bytes.len));
        expect(again.len == len && !memcmp(buf_str(&again), text, len));
    }
    buf_reset(&bytes);
    buf_reset(&again);
    if (len < 4096) {
        struct buf text_of;
        buf_init(&text_of, 2 * len + 4);
        expect(base64_write(&text_of, text, len));
        expect(base64_read(&bytes, buf_str(&text_of), text_of.len));
        expect(bytes.len == len && !memcmp(buf_str(&bytes), text, len));
        buf_release(&text_of);
    }
    buf_release(&again);
    buf_release(&bytes);
}

static void write_and_read(const struct sessions_line *line)
{
    struct sessions_line again;
    struct buf out;

    buf_init(&out, SESSIONS_LINE_MAX);
    if (line->kind == LINE_HEAD)
        expect(sessions_write_head(&out, line->context, NULL) == RC_OK);
    else if (line->kind == LINE_END)
        expect(sessions_write_end(&out, line->sessions, NULL) == RC_OK);
    else
        expect(sessions_write_session(&out, line->record, line->access, NULL) ==
               RC_OK);
    expect(memchr(out.data, '\n', out.len) == out.data + out.len - 1);
    expect(sessions_line_read(out.data, out.len - 1, &again, NULL) == RC_OK);
    expect(again.kind == line->kind && again.access == line->access &&
           again.sessions == line->sessions &&
           strcmp(again.context, line->context) == 0);
    if (line->kind == LINE_SESSION)
        expect(record_equal(again.record, line->record));
    sessions_line_release(&again);
    buf_release(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sessions_line line;
    struct err err = {""};

    read_base64((const char *)data, size);
    enum rc rc = sessions_line_read((const char *)data, size, &line, &err);
    expect(rc == RC_OK || rc == RC_INVALID || rc == RC_UNSUPPORTED);
    if (rc == RC_OK)
        write_and_read(&line);
    else
        expect(err.text[0] != '\0' && !line.record);
    sessions_line_release(&line);
    return 0;
}
