/* SPDX-License-Identifier: Apache-2.0
 *
 * d_frame_corpus.c: tests/corpus/frame holds frames that members of this
 * release take, all of them, and of every type: what fuzzing begins with. */
#include "config.h"

#include "managers/cluster/frame.h"

#include "tests/unit.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TYPES (FRAME_RELEASE + 1)

static void take_file(const char *path, bool seen[TYPES])
{
    static uint8_t bytes[64 * 1024];
    FILE *file = fopen(path, "r");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    size_t len = fread(bytes, 1, sizeof bytes, file), at = 0, body_len, need;
    CU_ASSERT(feof(file));
    fclose(file);
    const uint8_t *body;
    char text[8192 + 512] = "";
    while (!text[0] &&
           frame_split(bytes + at, len - at, &body, &body_len, &need) == 1) {
        struct frame f;
        struct err err = {""};
        if (frame_decode(body, body_len, &f, &err) == RC_OK)
            seen[f.type] = true;
        else
            snprintf(text, sizeof text, "%s, at %zu: %s", path, at, err.text);
        at += need;
    }
    CHECK_STR(text, "");
    CU_ASSERT(text[0] || at == len);
}

static void every_frame_is_taken(void)
{
    const char *srcdir = getenv("srcdir");
    bool seen[TYPES] = {false};
    char path[4096], file[8192];
    snprintf(path, sizeof path, "%s/tests/corpus/frame", srcdir ? srcdir : ".");
    DIR *dir = opendir(path);
    CU_ASSERT_PTR_NOT_NULL_FATAL(dir);
    for (struct dirent *entry; (entry = readdir(dir));) {
        if (entry->d_name[0] == '.')
            continue;
        snprintf(file, sizeof file, "%s/%s", path, entry->d_name);
        take_file(file, seen);
    }
    closedir(dir);
    for (int type = 1; type < TYPES; type++)
        CHECK_INT(seen[type], type != 2); /* 2 is not used */
}

UNIT_MAIN("frame_corpus", CASE(every_frame_is_taken))
