/* SPDX-License-Identifier: Apache-2.0 */
#include "webapps/probe/json.h"

#include "container/servlet.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

/* Bytes of the well-formed UTF-8 character at text; 0: there is none. */
static size_t utf8_len(const unsigned char *text, size_t len)
{
    unsigned char low = 0x80;
    unsigned char high = 0xbf;
    size_t need;

    if (text[0] < 0x80)
        return 1;
    if (text[0] < 0xc2 || text[0] > 0xf4)
        return 0;
    need = text[0] < 0xe0 ? 2 : text[0] < 0xf0 ? 3 : 4;
    if (len < need)
        return 0;
    /* longer than necessary, surrogates, beyond U+10FFFF */
    if (text[0] == 0xe0)
        low = 0xa0;
    else if (text[0] == 0xed)
        high = 0x9f;
    else if (text[0] == 0xf0)
        low = 0x90;
    else if (text[0] == 0xf4)
        high = 0x8f;
    if (text[1] < low || text[1] > high)
        return 0;
    for (size_t i = 2; i < need; i++)
        if ((text[i] & 0xc0) != 0x80)
            return 0;
    return need;
}

static void print_quoted(struct json *json, const char *text, size_t len)
{
    const unsigned char *c = (const unsigned char *)text;

    http_response_write(json->out, "\"", 1);
    for (size_t i = 0, n; i < len; i += n ? n : 1) {
        n = utf8_len(c + i, len - i);
        if (n == 0)
            http_response_print(json->out, "\\ufffd");
        else if (c[i] == '"' || c[i] == '\\')
            http_response_printf(json->out, "\\%c", c[i]);
        else if (c[i] < ' ')
            http_response_printf(json->out, "\\u%04x", (unsigned)c[i]);
        else
            http_response_write(json->out, c + i, n);
    }
    http_response_write(json->out, "\"", 1);
}

static void print_name(struct json *json, const char *name)
{
    if (json->comma)
        http_response_write(json->out, ",", 1);
    json->comma = true;
    if (name) {
        print_quoted(json, name, strlen(name));
        http_response_write(json->out, ":", 1);
    }
}

void json_open(struct json *json, const char *name, char bracket)
{
    print_name(json, name);
    http_response_write(json->out, &bracket, 1);
    json->comma = false;
}

void json_close(struct json *json, char bracket)
{
    http_response_write(json->out, &bracket, 1);
    json->comma = true;
}

void json_text(struct json *json, const char *name, const char *text,
               size_t len)
{
    print_name(json, name);
    print_quoted(json, text, len);
}

void json_string(struct json *json, const char *name, const char *text)
{
    if (text) {
        json_text(json, name, text, strlen(text));
        return;
    }
    print_name(json, name);
    http_response_print(json->out, "null");
}

void json_hex(struct json *json, const char *name, const char *bytes,
              size_t len)
{
    print_name(json, name);
    http_response_write(json->out, "\"", 1);
    for (size_t i = 0; i < len; i++)
        http_response_printf(json->out, "%02x", (unsigned char)bytes[i]);
    http_response_write(json->out, "\"", 1);
}

void json_int(struct json *json, const char *name, int64_t number)
{
    print_name(json, name);
    http_response_printf(json->out, "%" PRId64, number);
}

void json_double(struct json *json, const char *name, double number)
{
    print_name(json, name);
    if (isfinite(number))
        http_response_printf(json->out, "%.17g", number);
    else /* which JSON has not */
        http_response_print(json->out, "null");
}

void json_bool(struct json *json, const char *name, bool truth)
{
    print_name(json, name);
    http_response_print(json->out, truth ? "true" : "false");
}
