#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# run.sh [PART]...: measures an installation of Margay on this machine, and
# prints a table. README.md says how; the parts are in the last lines here.
# MARGAY_PREFIX (build) and MARGAY_OBJECTS (build/obj) name what is measured.
set -u
export LC_ALL=C
cd "$(dirname "$0")/.." || exit 1

# Nothing here lasts longer than that, whatever hangs.
if [ -z "${BENCH_GUARDED-}" ]; then
    export BENCH_GUARDED=1
    exec timeout --foreground --kill-after=30 2400 bench/run.sh "$@"
fi

prefix=${MARGAY_PREFIX:-$PWD/build}
objects=${MARGAY_OBJECTS:-$PWD/build/obj}
margay=$prefix/bin/margay
conf=$prefix/etc/margay
tools=$objects/bench
work=$(mktemp -d "${TMPDIR:-/tmp}/margay-bench-XXXXXX") || exit 1
export XDG_STATE_HOME=$work/state

say() { printf '%s\n' "bench: $*"; }
fail() {
    printf '%s\n' "bench: $1" >&2
    shift
    [ $# -eq 0 ] || printf '       %s\n' "$@" >&2
    exit 1
}

started=()
finish() {
    local pid
    trap - EXIT INT TERM HUP
    for pid in "${started[@]}"; do
        kill -KILL "$pid" 2>/dev/null
    done
    rm -rf "$work"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

rows=()
# row FIGURE VALUE HOW
row() {
    rows+=("$1|$2|$3")
    say "$1: $2"
}

# --- servers ---

# serve LOG COMMAND...: starts it; sets $pid and $port when it is ready.
serve() {
    local log=$work/$1.log i
    shift
    : >"$log"
    "$@" 2>"$log" >/dev/null </dev/null &
    pid=$!
    started+=("$pid")
    for ((i = 0; i < 600; i++)); do
        port=$(sed -n 's|.* ready on http://[^:]*:\([0-9]*\)/.*|\1|p' "$log")
        [ -z "$port" ] || return 0
        kill -0 "$pid" 2>/dev/null || break
        sleep 0.1
    done
    fail "no ready line from $*" "$(tail -n 5 "$log")"
}

instance() { # NAME CONFIGURATION [OPTION]...
    local name=$1 file=$2
    shift 2
    serve "$name" "$margay" run -c "$conf/$file.xml" -D port=0 \
        -D store.path="$work/$name.db" "$@"
}

end() { # PID
    local i
    kill -TERM "$1" 2>/dev/null
    for ((i = 0; i < 300; i++)); do
        kill -0 "$1" 2>/dev/null || break
        sleep 0.1
    done
    kill -KILL "$1" 2>/dev/null && fail "an instance did not end in 30 s"
    wait "$1" 2>/dev/null || fail "an instance ended with status $?"
}

load() { timeout 310 "$tools/load" -t 300 "$@"; }
# value NAME: of a line of NAME=VALUE on standard input.
value() { tr ' ' '\n' | sed -n "s/^$1=//p"; }

# cookies COUNT: so many users log in at $port, into $work/cookies.
cookies() {
    local i
    for ((i = 0; i < $1; i++)); do
        load -i -e 303 -p 'user=kim&password=margay' "$port" /login/login |
            sed -n 's/^Set-Cookie: \([^;]*\);.*/\1/p'
    done >"$work/cookies"
    [ "$(wc -l <"$work/cookies")" -eq "$1" ] || fail "logging in failed"
}

# nanoseconds that the threads of PID have run
cpu_ns() { awk '{ n += $1 } END { printf "%.0f\n", n }' /proc/"$1"/task/*/schedstat; }
resident_kb() { sed -n 's/^VmRSS:[ \t]*\([0-9]*\).*/\1/p' /proc/"$1"/status; }
calc() { awk "BEGIN { printf \"$1\", $2 }"; }

# --- instructions per request ---

# The memory of a connection, as the connector asks for it.
memory_limit() {
    local size beside
    size=$(sed -n 's/.*"maxHttpHeaderSize".*"\([0-9]*\)".*/\1/p' \
        container/connector_options.c)
    beside=$(sed -n 's/.*MEMORY_BESIDE = \([0-9]*\).*/\1/p' \
        container/connector.c)
    [ "$size" ] || fail "maxHttpHeaderSize moved: see memory_limit here"
    [ "$beside" ] || fail "MEMORY_BESIDE moved: see memory_limit here"
    echo $((size + beside))
}

# total REQUESTS COOKIE PATH COMMAND...: instructions of the whole run.
total() {
    local n=$1 cookie=$2 path=$3
    shift 3
    rm -f "$work"/callgrind.*
    serve valgrind valgrind -q --tool=callgrind \
        --callgrind-out-file="$work/callgrind.%p" "$@"
    local from=()
    if [ "$cookie" = login ]; then
        cookies 1
        from=(-k "$work/cookies")
    elif [ "$cookie" != none ]; then
        from=(-k "$cookie")
    fi
    load "${from[@]}" -n "$n" "$port" "$path" >"$work/load" ||
        fail "$path was not answered as expected"
    end "$pid"
    instructions=$(sed -n 's/^totals: \([0-9]*\).*/\1/p' "$work"/callgrind.*)
}

# per_request COOKIE PATH COMMAND...: sets $instructions.
per_request() {
    local first
    total 1000 "$@"
    first=$instructions
    total 3000 "$@"
    instructions=$(((instructions - first) / 2000))
}

# What bare has to say to PATH as the instance does, into $answer. hit prints
# four digits in the requests that count.
learn() {
    local line from=()
    [ "$1" = hello ] || from=(-k "$work/known")
    load -i "${from[@]}" "$port" "/login/$1" | tr -d '\r' >"$work/answer"
    answer=("$(sed '1,/^$/d' "$work/answer")"$'\n')
    [ "$1" != hit ] || answer=($'2000\n')
    while IFS= read -r line; do
        case $line in
        '') break ;;
        HTTP/* | Date:* | Content-Length:* | Connection:*) ;;
        *) answer+=("$line") ;;
        esac
    done <"$work/answer"
}

part_instructions() {
    local what aim bare least=0 known
    instance answers standard -D login.anyone=true
    cookies 1
    cp "$work/cookies" "$work/known"
    known=$pid
    local at=$port
    for what in hello:4000 me:8000 hit:12000; do
        aim=${what#*:} what=${what%:*}
        say "instructions: $what (four runs under callgrind)"
        port=$at
        learn "$what"
        local before=login beside=$work/known
        [ "$what" != hello ] || before=none beside=none
        per_request "$beside" "/login/$what" \
            "$tools/bare" "$(memory_limit)" "$(nproc)" "${answer[@]}"
        bare=$instructions
        [ "$what" != hello ] || least=$bare
        per_request "$before" "/login/$what" \
            "$margay" run -c "$conf/standard.xml" -D port=0 \
            -D login.anyone=true
        row "instructions $what" "$((instructions - bare)) above bare" \
            "$instructions - $bare, aim $aim; callgrind, (3000 - 1000 requests) / 2000; above the bare of hello: $((instructions - least))"
    done
    end "$known"
}

# --- memory, and what idle sessions cost ---

per_session() { # COUNT KB_BEFORE: now
    calc "%.0f" "($(resident_kb "$pid") - $2) * 1024 / $1"
}

idle() { # SECONDS
    local i
    for ((i = 10; i <= $1; i += 10)); do
        sleep 10
        say "  idle for $i of $1 s"
    done
}

part_memory() {
    local before full empty full_ns empty_ns
    instance empty standard
    empty=$pid
    instance full standard
    full=$pid
    load -c 64 -n 10000 "$port" /login/hello >/dev/null || fail "hello"
    before=$(resident_kb "$pid")
    say "memory: 100,000 sessions of /login/new, then a million"
    load -c 64 -n 100000 "$port" /login/new >/dev/null || fail "new"
    row "bytes a session at 10^5" "$(per_session 100000 "$before")" \
        "VmRSS above that after 10^4 hello, aim 400; GET /login/new"
    load -c 64 -n 900000 "$port" /login/new >"$work/load" || fail "new"
    row "bytes a session at 10^6" "$(per_session 1000000 "$before")" \
        "the same; $(value rate <"$work/load") made a second"
    load -i "$port" /metrics | grep -a '^margay_sessions_active.*/login' |
        grep -q ' 1000000$' || fail "there are not 10^6 sessions"
    sleep 2
    full_ns=$(cpu_ns "$full")
    empty_ns=$(cpu_ns "$empty")
    idle 60
    row "CPU in 60 s idle, 10^6 sessions" \
        "$(calc "%.1f ms" "($(cpu_ns "$full") - $full_ns) / 1e6")" \
        "schedstat of all threads; empty instance beside it: $(calc \
            "%.1f ms" "($(cpu_ns "$empty") - $empty_ns) / 1e6")"
    end "$full"
    end "$empty"
}

# --- latency beside a busy Executor ---

part_latency() {
    # The client's own turn on a busy processor is not what is asked.
    local first=() checkers how="load.c, 16 connections, 10 s, from when due"
    if chrt -f 1 true 2>/dev/null; then
        first=(chrt -f 1)
        how+=", client SCHED_FIFO"
    fi
    measured() {
        timeout 60 "${first[@]}" "$tools/load" -c 16 -r 1000 -d 10 \
            -k "$work/cookies" "$port" /login/me >"$work/load" ||
            fail "me was not answered"
    }
    instance latency standard
    cookies 1
    say "latency: 10 s without, 10 s with passwords"
    measured
    row "p99 of me at 1000/s" "$(value p99 <"$work/load") us" \
        "p50 $(value p50 <"$work/load"), p99.9 $(value p999 \
            <"$work/load"); $how"
    load -c 4 -d 13 -e 303 -p 'user=kim&password=margay' "$port" \
        /login/login >"$work/checked" &
    checkers=$!
    sleep 1
    measured
    wait "$checkers" || fail "a login failed"
    row "the same beside 4 checking passwords" \
        "$(value p99 <"$work/load") us" \
        "p50 $(value p50 <"$work/load"), p99.9 $(value p999 <"$work/load"); $(
            value rate <"$work/checked") yescrypt checks a second"
    end "$pid"
}

# --- start ---

best_and_median() { # COLUMN of $work/starts
    sort -n -k "$1" "$work/starts" | awk -v c="$1" '
        NR == 1 { best = $c } NR == 10 { low = $c } NR == 11 { high = $c }
        END { printf "%.1f ms, median %.1f", best / 1e3, (low + high) / 2e3 }'
}

part_start() {
    local kind i
    for kind in standard sqlite; do
        say "start: $kind, 20 times"
        : >"$work/starts"
        for ((i = 0; i < 20; i++)); do
            timeout 40 "$tools/start" /login/hello "$margay" run \
                -c "$conf/$kind.xml" -D port=0 \
                -D store.path="$work/start-$i.db" >>"$work/starts" ||
                fail "$kind did not start"
            rm -f "$work/start-$i.db"*
        done
        row "ready, $kind, empty store" "$(best_and_median 1)" \
            "exec to the ready line, of 20, aim 30 ms; to the answer of a first GET: $(
                best_and_median 2)"
    done
}

# --- throughput ---

busy() { # LABEL PATH [OPTION]...: 64 connections at $pid
    local label=$1 path=$2 ns
    shift 2
    load -c 64 -d 1 "$@" "$port" "$path" >/dev/null || fail "$path"
    ns=$(cpu_ns "$pid")
    load -c 64 -d 5 "$@" "$port" "$path" >"$work/load" || fail "$path"
    ns=$(($(cpu_ns "$pid") - ns))
    row "$label" "$(value rate <"$work/load")/s, $(calc "%.1f us" \
        "$ns / 1e3 / $(value requests <"$work/load")")" \
        "CPU of the server a request; 64 connections, 5 s, p99 $(
            value p99 <"$work/load") us"
}

part_throughput() {
    local kind what
    say "throughput: 6 s each"
    serve bare "$tools/bare" "$(memory_limit)" "$(nproc)" $'hello\n' \
        'Content-Type: text/plain;charset=UTF-8'
    busy "throughput bare" /
    end "$pid"
    for kind in standard sqlite; do
        instance "$kind" "$kind" -D login.anyone=true
        cookies 64
        for what in hello me hit; do
            busy "throughput $what, $kind" "/login/$what" -k "$work/cookies"
        done
        end "$pid"
    done
}

# --- a member comes ---

. bench/join.sh

# --- all ---

install_valgrind() {
    command -v valgrind >/dev/null && return
    local sudo=
    [ "$(id -u)" -eq 0 ] || sudo="sudo -n"
    say "missing: valgrind; installing it (apt-get)"
    $sudo timeout 300 apt-get install -y -q --no-install-recommends valgrind \
        >"$work/apt.log" 2>&1 </dev/null ||
        fail "apt-get failed: $(tail -n 1 "$work/apt.log")" \
            "as root: apt-get update && apt-get install valgrind"
}

table() {
    local r
    printf '\n%s\n' "$(uname -sr), $(nproc) processors, $(sed -n \
        's/^model name[ \t]*: //p' /proc/cpuinfo | head -n 1), load $(
        cut -d ' ' -f 1 /proc/loadavg)"
    for r in "${rows[@]}"; do
        IFS='|' read -r figure result how <<<"$r"
        printf '%-38s %-26s %s\n' "$figure" "$result" "$how"
    done
}

parts=(instructions memory latency start throughput join)
[ $# -eq 0 ] || parts=("$@")
for part in "${parts[@]}"; do
    declare -F "part_$part" >/dev/null ||
        fail "no part is named $part" \
            "they are instructions memory latency start throughput join"
done
[ -x "$margay" ] || fail "no $margay" "./dev build makes it"
make -C "$objects" bench/bare bench/load bench/start >"$work/make.log" 2>&1 ||
    fail "the tools do not compile" "$(tail -n 20 "$work/make.log")"
[[ " ${parts[*]} " != *" instructions "* ]] || install_valgrind
for part in "${parts[@]}"; do
    "part_$part"
done
table
