#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# netns.sh [SECONDS]: a cluster over a network that is really cut. Three members
# in network namespaces of their own, on one bridge; the third is cut off for so
# many seconds (30) with writes and logouts on both sides, and joined again.
#
# Needs root and iproute2; MARGAY_STAGE is an installation. Prints `ok N - ...`
# or `not ok ...` for each statement, and `# cases P F S` at the end. Removes
# what it made, whatever happens.
set -u
cut=${1:-${MARGAY_CUT_SECONDS:-30}}
stage=${MARGAY_STAGE:-$PWD/build}
margay=$stage/bin/margay
net=10.77.7
tag=mgy$$
passed=0 failed=0
work=$(mktemp -d "${TMPDIR:-/tmp}/netns-XXXXXX") || exit 99
pids=()

skip() {
    echo "skipped $1"
    echo "# cases 0 0 1"
    rm -rf "$work"
    exit 77
}
ok() {
    if [ "$1" -eq 0 ]; then
        passed=$((passed + 1))
        echo "ok $((passed + failed)) - $2"
    else
        failed=$((failed + 1))
        echo "not ok $((passed + failed)) - $2"
    fi
}
finish() {
    trap - EXIT INT TERM
    for pid in "${pids[@]}"; do kill -KILL "$pid" 2>/dev/null; done
    wait 2>/dev/null
    for n in 0 1 2 3; do ip netns del "$tag-$n" 2>/dev/null; done
    [ "$failed" -eq 0 ] || tail -n 40 "$work"/*.log
    rm -rf "$work"
}

[ -x "$margay" ] || skip "no server at $margay: set MARGAY_STAGE"
[ "$(id -u)" -eq 0 ] || skip "network namespaces need root"
command -v ip >/dev/null || skip "no ip: install iproute2"
ip netns add "$tag-0" 2>/dev/null || skip "this machine makes no network namespace"
trap finish EXIT
trap 'exit 130' INT TERM

# --- the network: a bridge in namespace 0, an end in each of the others ---

ip -n "$tag-0" link add br0 type bridge || skip "no bridge in this kernel"
ip -n "$tag-0" link set br0 up
for n in 1 2 3; do
    ip netns add "$tag-$n"
    ip -n "$tag-0" link add "port$n" type veth peer name eth0 netns "$tag-$n" ||
        skip "no pair of interfaces in this kernel"
    ip -n "$tag-0" link set "port$n" master br0 up
    ip -n "$tag-$n" addr add "$net.$n/24" dev eth0
    ip -n "$tag-$n" link set eth0 up
    ip -n "$tag-$n" link set lo up
done

# --- members ---

key=$(od -An -N32 -tx1 /dev/urandom | tr -d ' \n')
members=${MARGAY_NETNS_MEMBERS-$net.1:4000,$net.2:4000,$net.3:4000}
start() {
    ip netns exec "$tag-$1" "$margay" run -c "$stage/etc/margay/delta.xml" \
        -D "node=node$1" -D "address=$net.$1" -D port=8080 \
        -D "cluster.address=$net.$1" -D "cluster.members=$members" \
        -D "cluster.key=$key" -D login.anyone=true \
        >"$work/node$1.log" 2>&1 </dev/null &
    pids+=($!)
}
# Cookies by hand: each member is another host, and the browser of these users
# believes them to be one.
declare -A cookie
# at N USER PATH [curl's options]: the body, then the status in a line.
at() {
    local n=$1 user=$2 path=$3
    shift 3
    ip netns exec "$tag-$n" curl -s -m 8 -w '%{http_code}\n' \
        ${cookie[$user]:+-H "Cookie: ${cookie[$user]}"} "$@" \
        "http://$net.$n:8080$path"
}
login() {
    cookie[$2]=$(at "$1" nobody /login/login -D - -d "user=$2&password=x" |
        tr -d '\r' | sed -n 's/^Set-Cookie: \(JSESSIONID=[^;]*\).*/\1/p')
}
status() { at "$@" | tail -n 1; }
# One hit of kim's: whether it is acknowledged or not, it was sent.
hit() {
    echo sent >>"$work/sent"
    [ "$(status "$1" kim /login/hit)" = 200 ] && echo ok >>"$work/ok"
}
lines() { [ -f "$work/$1" ] && wc -l <"$work/$1" || echo 0; }
# until SECONDS COMMAND...: runs it until it succeeds; sets $waited (ms).
until_ok() {
    local limit=$1 begin status
    begin=$(date +%s%N)
    shift
    while :; do
        "$@"
        status=$?
        waited=$((($(date +%s%N) - begin) / 1000000))
        [ "$status" -ne 0 ] || return 0
        [ "$waited" -lt $((limit * 1000)) ] || return 1
        sleep 0.05
    done
}
ready() { [ "$(status "$1" none /health)" = 200 ]; }
three_ready() { ready 1 && ready 2 && ready 3; }
linked() {
    local n
    for n in 1 2 3; do
        # metrics are for loopback; the log is for everybody
        [ "$(grep -c 'linked to' "$work/node$n.log")" -ge 2 ] || return 1
    done
}
hits_of() { at "$1" "$2" /login/me | sed -n 's/^hits=//p'; }

for n in 1 2 3; do start $n; done
until_ok 20 three_ready
ok $? "three members are ready (${waited} ms)"
until_ok 10 linked
ok $? "each is linked to both others"

for user in kim lee park; do
    login 1 "$user"
done
for ((i = 0; i < 10; i++)); do hit 2; done
[ "$(hits_of 3 kim)" = 10 ]
ok $? "what was done at one is read at another"

# --- cut off ---

ip -n "$tag-0" link set port3 down
echo "# node3 is cut off for $cut s"
begin=$SECONDS
until_ok 12 eval 'ready 3 && hit 3'
ok $? "the one that was cut off serves alone (after ${waited} ms)"
until_ok 12 hit 1
ok $? "so do the others (after ${waited} ms)"
turn=0
while [ $((SECONDS - begin)) -lt "$cut" ]; do
    turn=$((turn + 1))
    hit 1
    hit 3
    hit 2
    hit 3
    at 2 kim "/login/put?k=here&v=here$turn" >/dev/null
    at 3 kim "/login/put?k=there&v=there$turn" >/dev/null
done
[ "$(status 1 lee /login/logout -X POST)" = 200 ]
ok $? "lee logs out here"
[ "$(status 3 park /login/logout -X POST)" = 200 ]
ok $? "park logs out there"
[ "$(status 3 lee /login/hit)" = 200 ] &&
    [ "$(status 2 park /login/hit)" = 200 ]
ok $? "each is still at work on the other side"

# --- joined again ---

ip -n "$tag-0" link set port3 up
equal() {
    local a b c
    a=$(hits_of 1 kim) b=$(hits_of 2 kim) c=$(hits_of 3 kim)
    [ "$a" ] && [ "$a" = "$b" ] && [ "$b" = "$c" ] &&
        [ "$a" -ge "$(lines ok)" ]
}
until_ok 15 equal
ok $? "all three are equal again"
echo "# equal ${waited} ms after the cable was back"
[ "$waited" -lt 5000 ]
ok $? "within 5 s"
final=$(hits_of 2 kim)
[ "$final" -ge "$(lines ok)" ] && [ "$final" -le "$(lines sent)" ]
ok $? "counters add: $(lines ok) acknowledged, $final there, $(lines sent) sent"
[ "$(at 1 kim '/login/get?k=there' | head -n 1)" = "there$turn" ] &&
    [ "$(at 3 kim '/login/get?k=here' | head -n 1)" = "here$turn" ]
ok $? "attributes of both sides are there"
all_gone() {
    local n user
    for n in 1 2 3; do
        for user in lee park; do
            at "$n" "$user" /login/me | grep -q 'not logged in: logout' ||
                return 1
        done
    done
}
until_ok 5 all_gone
ok $? "both logouts are final everywhere"

echo "# cases $passed $failed 0"
[ "$failed" -eq 0 ]
