#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# f_libmargay.sh: docs/counter.c is built against the installed library with
# pkg-config alone, stays below 100 lines, and counts on after kill -9.
set -u
top=${srcdir:-$(dirname "$0")/..}
work=${TMPDIR:-/tmp}/libmargay-$$
pid=
mkdir "$work" || exit 99
trap '[ -z "$pid" ] || kill -KILL "$pid" 2>/dev/null; rm -rf "$work"' EXIT
fail() {
    echo "f_libmargay.sh: $*"
    exit 1
}

[ -z "${SANITIZE-}" ] || {
    echo "skipped all: a sanitizer is not in a library's pkg-config file"
    exit 77
}
lines=$(wc -l <"$top/docs/counter.c")
[ "$lines" -lt 100 ] || fail "docs/counter.c has $lines lines"
PKG_CONFIG_PATH=$MARGAY_STAGE/lib/pkgconfig:${PKG_CONFIG_PATH-}
export PKG_CONFIG_PATH
# shellcheck disable=SC2046,SC2086 # options are words
${CC:-cc} -Wall -Wextra -Werror "$top/docs/counter.c" -o "$work/counter" \
    $(pkg-config --define-variable=prefix="$MARGAY_STAGE" \
        --cflags --libs margay libmicrohttpd) || fail "it does not compile"

# start: on a port that nobody has; the program does not say which it got.
start() {
    for try in 1 2 3 4 5 6 7 8 9; do
        port=$((10000 + ($$ * 7 + try * 1009 + $(date +%N | sed 's/^0*//')) % 20000))
        LD_LIBRARY_PATH=$MARGAY_STAGE/lib "$work/counter" "$port" \
            "$work/sessions.db" 2>"$work/log" &
        pid=$!
        for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
            hit=$(curl -s -m 5 -b "$work/jar" -c "$work/jar" \
                "http://127.0.0.1:$port/") && return
            kill -0 "$pid" 2>/dev/null || break
            sleep 0.1
        done
        kill -KILL "$pid" 2>/dev/null
        wait "$pid" 2>/dev/null
    done
    cat "$work/log"
    fail "it does not answer"
}

touch "$work/jar"
for n in 1 2 3; do
    start
    [ "$hit" = "$n" ] || fail "start $n counted $hit"
    kill -KILL "$pid"
    wait "$pid" 2>/dev/null
done
start
kill -TERM "$pid"
wait "$pid" || fail "SIGTERM: it ended with $?"
pid=
echo "counted to $hit over three kills"
