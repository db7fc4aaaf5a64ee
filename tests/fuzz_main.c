/* SPDX-License-Identifier: Apache-2.0 */
/* Runs a fuzz target without libFuzzer: over the files of its corpus, each
 * also cut short at every length up to CUT_MAX, so that plain make check
 * keeps what fuzzing once found. The corpus of tests/z_fuzz_NAME.c is
 * tests/corpus/NAME. Arguments name other directories. */
#include "config.h"

#include <dirent.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum {
    INPUT_MAX = 1 << 20,
    CUT_MAX = 256,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A copy of exactly `size` bytes, so that a sanitizer sees a read behind. */
static void target_run(const char *data, size_t size)
{
    uint8_t *copy = malloc(size ? size : 1);
    if (!copy)
        abort();
    memcpy(copy, data, size);
    LLVMFuzzerTestOneInput(copy, size);
    free(copy);
}

static bool file_replay(const char *path)
{
    static char data[INPUT_MAX];
    FILE *f = fopen(path, "rb");
    if (!f) {
        perror(path);
        return false;
    }
    size_t size = fread(data, 1, sizeof data, f);
    fclose(f);
    for (size_t cut = 0; cut < size && cut < CUT_MAX; cut++)
        target_run(data, cut);
    target_run(data, size);
    return true;
}

/* The number of files replayed; -1 when one could not be read. */
static int dir_replay(const char *path)
{
    DIR *dir = opendir(path);
    if (!dir) {
        perror(path);
        return -1;
    }
    int files = 0;
    for (struct dirent *entry; files >= 0 && (entry = readdir(dir));) {
        char file[4096];
        struct stat st;
        snprintf(file, sizeof file, "%s/%s", path, entry->d_name);
        if (stat(file, &st) != 0 || !S_ISREG(st.st_mode))
            continue;
        files = file_replay(file) ? files + 1 : -1;
    }
    closedir(dir);
    return files;
}

static int corpus_replay(const char *program)
{
    const char *slash = strrchr(program, '/');
    const char *name = slash ? slash + 1 : program;
    const char *srcdir = getenv("srcdir");
    char path[4096];
    if (strncmp(name, "z_fuzz_", 7) == 0)
        name += 7;
    snprintf(path, sizeof path, "%s/tests/corpus/%s", srcdir ? srcdir : ".",
             name);
    return dir_replay(path);
}

int main(int argc, char **argv)
{
    int files = 0;
    if (argc < 2)
        files = corpus_replay(argv[0]);
    for (int i = 1; i < argc && files >= 0; i++) {
        int more = dir_replay(argv[i]);
        files = more < 0 ? more : files + more;
    }
    bool ok = files > 0;
    printf("%d files of the corpus%s\n", files > 0 ? files : 0,
           ok ? "" : ": there must be at least one, and all readable");
    printf("# cases %d %d 0\n", ok, !ok);
    return ok ? 0 : 1;
}
