/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "container/sessions_json.h"

#include "container/base64.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

/* ---- writing ---- */

static enum rc write_line(struct buf *out, json_t *line, struct err *err)
{
    char *text =
        line ? json_dumps(line, JSON_COMPACT | JSON_REAL_PRECISION(17)) : NULL;
    bool fits = text && buf_add_str(out, text) && buf_add_char(out, '\n');

    free(text);
    json_decref(line);
    return fits ? RC_OK
                : err_set(err, RC_TOOBIG, "a line of more than %u MB",
                          SESSIONS_LINE_MAX >> 20);
}

enum rc sessions_write_head(struct buf *out, const char *context,
                            struct err *err)
{
    return write_line(out,
                      json_pack("{s:s, s:i, s:s}", "margay", "sessions",
                                "version", SESSIONS_FILE_VERSION, "context",
                                context),
                      err);
}

enum rc sessions_write_end(struct buf *out, int64_t sessions, struct err *err)
{
    return write_line(
        out,
        json_pack("{s:b, s:I}", "end", 1, "sessions", (json_int_t)sessions),
        err);
}

static json_t *base64_of(const char *prefix, const void *bytes, size_t len)
{
    struct buf text;

    buf_init(&text, SESSIONS_LINE_MAX);
    buf_add_str(&text, prefix);
    base64_write(&text, bytes, len);
    json_t *json = json_stringn(buf_str(&text), text.len);
    buf_release(&text);
    return json;
}

/* Text as text; what is none as base64, and marked. */
static void set_text(json_t *object, const char *data, size_t len)
{
    json_t *text = json_stringn(data ? data : "", len);

    if (!text) {
        json_object_set_new(object, "encoding", json_string("base64"));
        text = base64_of("", data, len);
    }
    json_object_set_new(object, "value", text);
}

/* JSON has no such numbers. */
static json_t *number_of(double real)
{
    if (isnan(real))
        return json_string("nan");
    if (isinf(real))
        return json_string(real < 0 ? "-inf" : "inf");
    return json_real(real);
}

static json_t *value_of(const struct value *value)
{
    static const char *const types[] = {
        [VALUE_STRING] = "string", [VALUE_BYTES] = "bytes",
        [VALUE_INT] = "int",       [VALUE_DOUBLE] = "double",
        [VALUE_BOOL] = "bool",     [VALUE_COUNTER] = "counter"};
    json_t *object = json_object();

    json_object_set_new(object, "type", json_string(types[value->type]));
    if (value->type == VALUE_STRING)
        set_text(object, value->data, value->len);
    else if (value->type == VALUE_BYTES)
        json_object_set_new(object, "value",
                            base64_of("", value->data, value->len));
    else if (value->type == VALUE_DOUBLE)
        json_object_set_new(object, "value", number_of(value->real));
    else if (value->type == VALUE_BOOL)
        json_object_set_new(object, "value", json_boolean(value->truth));
    else
        json_object_set_new(object, "value", json_integer(value->number));
    return object;
}

struct shown {
    json_t *attributes;
    json_int_t left_out;
};

/* A name as it is; one that can be no name in JSON as base64:... */
static void add_attribute(void *user, struct key key, const struct value *value,
                          int64_t stamp)
{
    struct shown *shown = user;
    json_t *name = NULL;

    (void)stamp;
    if (!key.name || value->type < VALUE_STRING || value->type > VALUE_COUNTER)
        return;
    if (json_object_size(shown->attributes) == SESSIONS_ATTRIBUTES_MAX) {
        shown->left_out++;
        return;
    }
    if (!memchr(key.name, '\0', key.len))
        name = json_stringn(key.name, key.len);
    if (!name)
        name = base64_of("base64:", key.name, key.len);
    json_object_set_new(shown->attributes, json_string_value(name),
                        value_of(value));
    json_decref(name);
}

enum rc sessions_write_session(struct buf *out, struct record *record,
                               int64_t access, struct err *err)
{
    struct value user = record_get(record, key_field(FIELD_USER));
    struct shown shown = {.attributes = json_object()};
    json_t *line = json_object();
    char id[ID_TEXT_SIZE];

    json_object_set_new(line, "id",
                        json_string(id_format(record_id(record), id)));
    json_object_set_new(line, "created", json_integer(record_birth(record)));
    json_object_set_new(line, "accessed", json_integer(access));
    json_object_set_new(
        line, "maxInactive",
        json_integer(record_number(record, FIELD_MAX_INACTIVE)));
    if (user.type == VALUE_STRING)
        json_object_set_new(line, "user", json_stringn(user.data, user.len));
    record_each(record, add_attribute, &shown);
    json_object_set_new(line, "attributes", shown.attributes);
    if (shown.left_out > 0)
        json_object_set_new(line, "attributesLeftOut",
                            json_integer(shown.left_out));
    json_object_set_new(line, "record",
                        base64_of("", record->bytes, record->len));
    return write_line(out, line, err);
}

/* ---- reading ---- */

/* Before anything is made of them: each but the first of its object or array
 * follows a comma. */
static bool has_too_many_values(const char *text, size_t len)
{
    bool quoted = false;
    size_t count = 0;

    for (size_t i = 0; i < len && count <= SESSIONS_VALUES_MAX; i++) {
        if (quoted && text[i] == '\\')
            i++;
        else if (text[i] == '"')
            quoted = !quoted;
        else if (!quoted)
            count += text[i] == '[' || text[i] == '{' || text[i] == ',';
    }
    return count > SESSIONS_VALUES_MAX;
}

static const char *string_at(const json_t *object, const char *name,
                             size_t *len)
{
    const json_t *text = json_object_get(object, name);

    *len = text ? json_string_length(text) : 0;
    return json_string_value(text);
}

static enum rc read_head(const json_t *object, struct sessions_line *out,
                         struct err *err)
{
    const json_t *version = json_object_get(object, "version");
    const char *context, *what;
    size_t len, what_len;

    what = string_at(object, "margay", &what_len);
    if (!what || strcmp(what, "sessions") != 0 || !json_is_integer(version))
        return err_set(err, RC_INVALID,
                       "this is no file of `margay sessions export`");
    if (json_integer_value(version) != SESSIONS_FILE_VERSION)
        return err_set(err, RC_UNSUPPORTED,
                       "a file of version %" JSON_INTEGER_FORMAT
                       ", this margay reads %d: use the margay that wrote it",
                       json_integer_value(version), SESSIONS_FILE_VERSION);
    context = string_at(object, "context", &len);
    if (!context || context[0] != '/' || len >= sizeof out->context ||
        strlen(context) != len)
        return err_set(err, RC_INVALID, "\"context\" is no context path");
    memcpy(out->context, context, len + 1);
    out->kind = LINE_HEAD;
    return RC_OK;
}

static enum rc read_end(const json_t *object, struct sessions_line *out,
                        struct err *err)
{
    const json_t *sessions = json_object_get(object, "sessions");

    if (!json_is_integer(sessions) || json_integer_value(sessions) < 0 ||
        !json_is_true(json_object_get(object, "end")))
        return err_set(err, RC_INVALID,
                       "an end that does not count its \"sessions\"");
    out->sessions = json_integer_value(sessions);
    out->kind = LINE_END;
    return RC_OK;
}

static enum rc check_record(const struct record *record, const char *id,
                            size_t id_len, struct err *err)
{
    char text[ID_TEXT_SIZE];

    if (record_kind(record) != RECORD_SESSION || !record_is_whole(record) ||
        record_ended(record, NULL))
        return err_set(err, RC_INVALID,
                       "\"record\" is not that of a whole session");
    id_format(record_id(record), text);
    if (!id || id_len != ID_TEXT_SIZE - 1 || strcmp(id, text) != 0)
        return err_set(err, RC_INVALID,
                       "\"record\" is not that of this \"id\"");
    return RC_OK;
}

static enum rc read_record(const json_t *object, struct record **out,
                           struct err *err)
{
    size_t len, id_len;
    const char *text = string_at(object, "record", &len);
    const char *id = string_at(object, "id", &id_len);
    struct err why = {""};
    struct buf bytes;
    enum rc rc;

    buf_init(&bytes, RECORD_MAX_BYTES + 1);
    if (!text || !base64_read(&bytes, text, len)) {
        buf_release(&bytes);
        return err_set(err, RC_INVALID,
                       "\"record\" is missing, or no base64, or over %u MB",
                       RECORD_MAX_BYTES >> 20);
    }
    rc = record_decode(buf_str(&bytes), bytes.len, out, &why);
    if (rc != RC_OK)
        err_set(err, rc, "\"record\" cannot be read: %s", why.text);
    else
        rc = check_record(*out, id, id_len, err);
    buf_release(&bytes);
    if (rc != RC_OK)
        record_unref(out);
    return rc;
}

static enum rc read_session(const json_t *object, struct sessions_line *out,
                            struct err *err)
{
    const json_t *accessed = json_object_get(object, "accessed");

    if (!json_is_integer(accessed) || json_integer_value(accessed) < 0 ||
        json_integer_value(accessed) >= INT64_MAX / 4)
        return err_set(err, RC_INVALID,
                       "\"accessed\" is no number of milliseconds since 1970");
    out->access = json_integer_value(accessed);
    out->kind = LINE_SESSION;
    return read_record(object, &out->record, err);
}

/* jansson's own text quotes the line. */
static const char *what_is_wrong(const json_error_t *why)
{
    switch (json_error_code(why)) {
    case json_error_duplicate_key:
        return "a name stands twice in one object";
    case json_error_stack_overflow:
        return "nested too deeply";
    case json_error_numeric_overflow:
        return "a number that is too large";
    case json_error_invalid_utf8:
        return "not UTF-8";
    default:
        return "not one JSON object";
    }
}

enum rc sessions_line_read(const char *text, size_t len,
                           struct sessions_line *out, struct err *err)
{
    json_error_t why;
    json_t *object;
    enum rc rc;

    *out = (struct sessions_line){.kind = LINE_HEAD};
    if (len > SESSIONS_LINE_MAX)
        return err_set(err, RC_INVALID, "a line of more than %u MB",
                       SESSIONS_LINE_MAX >> 20);
    if (has_too_many_values(text, len))
        return err_set(err, RC_INVALID,
                       "more than %d values, which no line of a session has",
                       SESSIONS_VALUES_MAX);
    object =
        json_loadb(text, len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &why);
    if (!json_is_object(object)) {
        int at = object ? 0 : why.position;
        const char *what = object ? "not one JSON object" : what_is_wrong(&why);
        json_decref(object);
        return err_set(err, RC_INVALID, "%s (at byte %d)", what, at);
    }
    if (json_object_get(object, "margay"))
        rc = read_head(object, out, err);
    else if (json_object_get(object, "end"))
        rc = read_end(object, out, err);
    else
        rc = read_session(object, out, err);
    json_decref(object);
    return rc;
}

void sessions_line_release(struct sessions_line *line)
{
    record_unref(&line->record);
}
