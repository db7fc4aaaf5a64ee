#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# run.sh PROGRAM [ARGUMENT]...: runs one test for make check: with a temporary
# directory of its own, nothing on its input, and 300 seconds unless its source
# says "Timeout: N s" among its first 30 lines. Whatever it started is ended
# with it.
set -u
program=$1
name=${program##*/}
source=${srcdir:-.}/tests/$name
[ -f "$source" ] || source=$source.c

seconds=$(sed -n '30q;s/.*Timeout: \([0-9][0-9]*\) s.*/\1/p' \
    "$source" 2>/dev/null | head -n 1)
seconds=${seconds:-300}
# Sanitizers slow a program down; whoever runs them says by how much. So does
# whoever wants a long form of it: by how many seconds more.
seconds=$((seconds * ${MARGAY_TEST_SLOWNESS:-1} + ${MARGAY_TEST_LONGER:-0}))

TMPDIR=$(mktemp -d "${TMPDIR:-/tmp}/margay-test-XXXXXX") || exit 99
# What a server keeps where nothing says where: never among the user's own.
XDG_STATE_HOME=$TMPDIR
export TMPDIR XDG_STATE_HOME
trap 'rm -rf "$TMPDIR"' EXIT
# timeout leads a process group: its signals reach the test's children too.
trap 'trap "" HUP INT TERM
      kill -TERM "$child" 2>/dev/null; wait "$child"; exit 99' HUP INT TERM

timeout --kill-after=5 "$seconds" "$@" </dev/null &
child=$!
wait "$child"
status=$?
case $status in
124 | 137) echo "$name: ended after $seconds s, its limit" ;;
129 | 1[3-5]?) echo "$name: ended by signal $((status - 128))" ;;
esac
exit "$status"
