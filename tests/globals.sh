#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# globals.sh: no room holds a mutable global, static ones included: everything
# hangs from an instance, so several live in one process. Reads the symbols of
# the libraries in the build directory. Thread-local ones are not counted.
set -u
LC_ALL=C
export LC_ALL
case ${SANITIZE-} in
?*) echo "SKIP: sanitizers ($SANITIZE) add globals of their own"; exit 77 ;;
esac

bad=0
for room in session managers container; do
    archive=.libs/lib$room.a
    [ -f "$archive" ] || { echo "globals.sh: no $archive in $PWD"; exit 99; }
    # VALUE FLAGS SECTION SIZE NAME; constants with pointers in them lie in
    # .data.rel.ro, which is read-only once the program runs.
    found=$(objdump -t "$archive" | awk '
        /:[ \t]*file format/ { object = $1; sub(/:$/, "", object) }
        / O \.(data|bss)/ && $0 !~ / \.data\.rel\.ro/ {
            print object ": " $NF
        }')
    [ -z "$found" ] || { printf '%s\n' "$found"; bad=1; }
done
[ "$bad" -eq 0 ] || echo "a mutable global: let it hang from an instance"
exit "$bad"
