#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# headers.sh: every header of the rooms compiles alone, so that no .c file has
# to know what another header happens to include. Run in the build directory.
set -u
top=${srcdir:-$(dirname "$0")/..}
build=$PWD
[ -f config.h ] || { echo "headers.sh: no config.h in $PWD"; exit 99; }
: "${CC:=gcc}" "${TEST_CPPFLAGS=-I$top}"

# Lists that are included again and again mean nothing alone.
headers=$(cd "$top" && find session managers container webapps tests \
    -path tests/stage -prune -o -name '*.h' ! -name '*_list.h' -print | sort)
[ "$headers" ] || { echo "headers.sh: no header in $top"; exit 99; }

bad=0
# shellcheck disable=SC2086 # flags are several words
for header in $headers; do
    # CUnit may be missing; then nobody includes this one either.
    [ "$header" = tests/unit.h ] &&
        ! echo '#include <CUnit/CUnit.h>' | $CC $TEST_CPPFLAGS -E - \
            >/dev/null 2>&1 && continue
    printf '#include "config.h"\n#include "%s"\n#include "%s"\n' \
        "$header" "$header" |
        $CC -std=gnu11 -Wall -Wextra -Wstrict-prototypes -Werror \
            -I"$build" $TEST_CPPFLAGS -fsyntax-only -x c - || {
        echo "$header: does not compile alone"
        bad=$((bad + 1))
    }
done
[ "$bad" -eq 0 ]
