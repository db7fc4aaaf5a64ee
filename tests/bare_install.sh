#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# bare_install.sh [BUILD]: installs this source below /usr of the machine that
# it runs on, uses what is there as a stranger would, and removes it. For a
# chroot that is thrown away (./dev test bare). BUILD: a folder that has been
# configured with --prefix=/usr --sysconfdir=/etc; else one is made.
set -u
LC_ALL=C
export LC_ALL
cd "$(dirname "$0")/.." || exit 99
top=$PWD
work=$(mktemp -d) || exit 99
pid=
trap '[ -z "$pid" ] || kill "$pid"; rm -rf "$work"' EXIT
fail() {
    echo "bare: $*"
    exit 1
}

# What there is, but for what runs and for what this script writes.
list() {
    find / -xdev \( -path /proc -o -path /dev -o -path /tmp -o -path /run \
        -o -path "$top" -o -path /var/cache -o -path /var/log \
        -o -path /etc/ld.so.cache \) -prune -o -print | sort
}

build=${1-$top/build/usr}
[ $# -gt 0 ] || {
    mkdir -p "$build" && cd "$build" &&
        "$top/configure" --prefix=/usr --sysconfdir=/etc >"$work/log" 2>&1 ||
        { cat "$work/log"; fail "configure failed"; }
}
cd "$build" || exit 99
make -j"$(nproc)" >"$work/log" 2>&1 || {
    tail -n 30 "$work/log"
    fail "make failed"
}

# --- into a folder, and from there into its place, as a package would ---

list >"$work/before"
make install DESTDIR="$work/image" >"$work/log" 2>&1 || {
    tail -n 30 "$work/log"
    fail "make install DESTDIR=... failed"
}
list | diff "$work/before" - || fail "make install wrote beside DESTDIR"
# One that is merged has /lib as a link; nothing of ours goes there.
(cd "$work/image" && tar -cf - .) | (cd / && tar -xf - --no-overwrite-dir) ||
    fail "the image cannot be unpacked"
ldconfig

unit=/usr/lib/systemd/system/margay@.service
cp "$unit" "$work/margay@8081.service"
systemd-analyze verify --man=no "$work/margay@8081.service" 2>"$work/log" ||
    { cat "$work/log"; fail "$unit is not right"; }
! grep margay "$work/log" || fail "systemd-analyze warns of $unit"

for page in /usr/share/man/man1/margay.1 /usr/share/man/man5/server.xml.5 \
    /usr/share/man/man3/margay-webapp.3; do
    groff -man -ww -z "$page" >"$work/log" 2>&1 && [ ! -s "$work/log" ] ||
        { cat "$work/log"; fail "$page does not render"; }
    mandoc -T lint "$page" >"$work/log" 2>&1 && [ ! -s "$work/log" ] ||
        { cat "$work/log"; fail "$page has faults"; }
done

# shellcheck disable=SC2046 # options are words
cc -Wall -Wextra -Werror "$top/docs/counter.c" -o "$work/counter" \
    $(pkg-config --cflags --libs margay libmicrohttpd) ||
    fail "the example is not built with pkg-config alone"

# serves COMMAND...: until it answers on $port.
port=$((20000 + $$ % 10000))
serves() {
    "$@" 2>"$work/log" &
    pid=$!
    tries=0
    until curl -s -m 5 -o "$work/answer" "http://127.0.0.1:$port/"; do
        kill -0 "$pid" 2>/dev/null && [ $tries -lt 100 ] ||
            { cat "$work/log"; fail "$1 does not answer"; }
        tries=$((tries + 1))
        sleep 0.1
    done
    kill -TERM "$pid"
    wait "$pid" || fail "$1 ended with $?"
    pid=
}
serves "$work/counter" "$port" "$work/counter.db"
[ "$(cat "$work/answer")" = 1 ] || fail "the example answers otherwise"
XDG_STATE_HOME=$work serves margay run -D port="$port"
margay check | grep -q '^/etc/margay/server.xml: understood' ||
    fail "margay does not find /etc/margay"
margay --help | grep -q '(/etc/margay/server.xml)' ||
    fail "--help names another server.xml"

# --- and away ---

make uninstall >"$work/log" 2>&1 || {
    tail -n 30 "$work/log"
    fail "make uninstall failed"
}
ldconfig
# Folders that others share (systemd's, pkg-config's) may have come with it.
list | diff "$work/before" - | grep -v '^[0-9,]*[acd][0-9,]*$' >"$work/log"
while read -r sign path; do
    [ "$sign" = ">" ] && [ -d "$path" ] && case $path in
    *margay*) false ;;
    esac || fail "make uninstall: $sign $path"
done <"$work/log"
echo "bare: installed, used, removed"
