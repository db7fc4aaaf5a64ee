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

kill_all() { # PID...
    local p
    for p; do
        kill -KILL "$p"
        wait "$p" 2>/dev/null
    done
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

# --- three members, beside Tomcat's DeltaManager ---

# free_ports COUNT: nobody listens there, and no client is given them.
free_ports() {
    local found=() candidate
    while [ ${#found[@]} -lt "$1" ]; do
        candidate=$((10000 + RANDOM % 22000))
        [[ " ${found[*]} " != *" $candidate "* ]] || continue
        (: <"/dev/tcp/127.0.0.1/$candidate") 2>/dev/null ||
            found+=("$candidate")
    done
    printf '%s\n' "${found[@]}"
}

joined() { local IFS=$1; shift; printf '%s' "$*"; }

# What belongs to each opponent, by its name; lists with commas.
declare -A opponent_pids opponent_http opponent_ports opponent_end

# launch LOG COMMAND...: in the background; sets $pid.
launch() {
    local log=$work/$1
    shift
    "$@" >"$log" 2>&1 </dev/null &
    pid=$!
    started+=("$pid")
}

# answers PORT PATH: within a minute.
answers() {
    local i
    for ((i = 0; i < 300; i++)); do
        load -i "$1" "$2" 2>/dev/null | grep -q '^HTTP/1.1 [24]' && return
        sleep 0.2
    done
    return 1
}

# launch_three NAME END COMMAND: END is what paths end in; COMMAND NODE PORT
# PORTS starts one of them.
launch_three() {
    local name=$1 n pids=() all http ports
    mapfile -t all < <(free_ports 6)
    http=("${all[@]:0:3}") ports=("${all[@]:3}")
    opponent_http[$name]=$(joined , "${http[@]}")
    opponent_ports[$name]=$(joined , "${ports[@]}")
    opponent_end[$name]=$2
    for n in 1 2 3; do
        "$3" "$name" "$n" "${http[n - 1]}" "${opponent_ports[$name]}"
        pids+=("$pid")
        # A Tomcat that starts asks one that listens already, or waits long.
        [ "${name%% *}" = margay ] ||
            answers "${http[n - 1]}" "$(path_of "$name" me)" ||
            fail "$name does not answer" "$(tail -n 5 "$work/$name-$n.log")"
    done
    opponent_pids[$name]=${pids[*]}
}

one_margay() { # NAME NODE PORT PORTS
    local ports
    IFS=, read -r -a ports <<<"$4"
    launch "$1-$2.log" "$margay" run -c "$conf/delta.xml" -D port="$3" \
        -D node="node$2" -D cluster.port="${ports[$2 - 1]}" \
        -D cluster.members="$(joined , "${ports[@]/#/127.0.0.1:}")" \
        -D replication="${1#margay }" -D login.anyone=true
}

one_tomcat() { # NAME NODE PORT PORTS
    local options=${1#tomcat }
    launch "$1-$2.log" bench/tomcat.sh "$work/$1-$2" "$2" "$3" "$4" \
        "${options%%+*}"
}

path_of() { # NAME WHAT
    if [ "${opponent_end[$1]}" ]; then
        printf '/%s%s' "$2" "${opponent_end[$1]}"
    else
        printf '/login/%s' "$2"
    fi
}

# microseconds of CPU of all that PIDs have run, ended threads included
cpu_us() {
    local p
    for p in $1; do
        sed 's/.*) //' "/proc/$p/stat"
    done | awk -v hz="$(getconf CLK_TCK)" \
        '{ n += $12 + $13 } END { printf "%.0f\n", n * 1e6 / hz }'
}

# Payload bytes on all connections between members so far, acknowledgements
# included; the kernel counts them. Both ends of each are on this machine.
wire_bytes() { # PORTS; none: 0
    [ "$1" ] || { echo 0; return; }
    local filter=${1//,/ or sport = :}
    ss -Htin state established "( sport = :$filter or dport = :${1//,/ or dport = :} )" |
        grep -o 'bytes_sent:[0-9]*' |
        awk -F : '{ n += $2 } END { printf "%.0f\n", n }'
}

# Until nothing but pulses travels: an asynchronous opponent is still busy
# with what it has answered.
rest() { # PORTS
    local i before now
    now=$(wire_bytes "$1")
    for ((i = 0; i < 100; i++)); do
        before=$now
        sleep 0.2
        now=$(wire_bytes "$1")
        [ $((now - before)) -gt 8000 ] || return 0
    done
}

# set_class OPTION PRIORITY PIDS: chrt's, of all threads.
set_class() {
    local p
    [ ${#first[@]} -gt 0 ] || return 0
    for p in $3; do
        chrt -a "$1" -p "$2" "$p"
    done
}

# against NAME LABEL WHAT [OPTION]...: one short run; adds a line to
# $work/figures: LABEL, NAME, CPU us and wire bytes a request and receiver,
# requests a second, p99, wrong answers.
against() {
    local name=$1 label=$2 path before bytes where=${opponent_http[$1]}
    path=$(path_of "$name" "$3")
    shift 3
    [ "$label" != 'hit, one server' ] || where=${where%%,*}
    before=$(cpu_us "${opponent_pids[$name]}")
    bytes=$(wire_bytes "${opponent_ports[$name]}")
    local run=("$tools/load" -t 60 "$@" "$where" "$path")
    if [[ "$label" == */s ]]; then
        run=("${first[@]}" "${run[@]}")
        set_class -f 1 "${opponent_pids[$name]}"
    fi
    "${run[@]}" >"$work/load" 2>"$work/load.err" ||
        grep -q wrong= "$work/load" ||
        fail "$name: $path: $(cat "$work/load.err")"
    set_class -o 0 "${opponent_pids[$name]}"
    rest "${opponent_ports[$name]}"
    before=$(($(cpu_us "${opponent_pids[$name]}") - before))
    bytes=$(($(wire_bytes "${opponent_ports[$name]}") - bytes))
    printf '%s|%s|%s|%s|%s|%s|%s\n' "$label" "$name" \
        "$(calc %.2f "$before / $(value requests <"$work/load")")" \
        "$(calc %.2f "$bytes / 2 / $(value requests <"$work/load")")" \
        "$(value rate <"$work/load")" "$(value p99 <"$work/load")" \
        "$(value wrong <"$work/load")" >>"$work/figures"
}

# middle NAME LABEL COLUMN: the median of the rounds.
middle() {
    awk -F '|' -v name="$1" -v label="$2" -v c="$3" \
        '$1 == label && $2 == name { print $c }' "$work/figures" | sort -n |
        awk '{ v[NR] = $1 } END { print NR ? v[int((NR + 1) / 2)] : "-" }'
}

# in_turn LABEL WHAT [OPTION]...: one short run of each opponent.
in_turn() {
    local name label=$1 what=$2 from
    shift 2
    for name in "${opponents[@]}"; do
        from=(-k "$work/cookies $name")
        [ "$what" != new ] || from=()
        against "$name" "$label" "$what" "${from[@]}" "$@"
    done
}

cluster_round() {
    in_turn 'hit, one server' hit -c 64 -d "$seconds"
    in_turn 'hit, sticky' hit -c 64 -d "$seconds" -s
    in_turn 'hit, round robin' hit -c 64 -d "$seconds"
    in_turn 'me, round robin' me -c 64 -d "$seconds"
    in_turn 'new, sticky' new -c 64 -n 3000 -s
    in_turn 'hit, one client' hit -n 2000
    in_turn 'hit, 1000/s' hit -c 16 -r 1000 -d "$seconds"
    in_turn 'me, 1000/s' me -c 16 -r 1000 -d "$seconds"
}

# All of them are ready, have 64 sessions, and ran warm.
warm() { # NAME
    local name=$1 i port what
    for port in ${opponent_http[$name]//,/ }; do
        answers "$port" "$(path_of "$name" new)" ||
            fail "$name does not answer" "$(tail -n 5 "$work/$name"-?.log)"
    done
    for ((i = 0; i < 64; i++)); do
        load -i "${opponent_http[$name]%%,*}" "$(path_of "$name" new)" |
            sed -n 's/^Set-Cookie: \([^;]*\);.*/\1/p'
    done >"$work/cookies $name"
    [ "$(wc -l <"$work/cookies $name")" -eq 64 ] || fail "$name: no sessions"
    sleep 1 # not all of them wait until all members have them
    for what in hit me; do
        load -c 64 -n 15000 -k "$work/cookies $name" \
            "${opponent_http[$name]}" "$(path_of "$name" "$what")" \
            >/dev/null 2>&1
    done
    load -c 64 -n 3000 "${opponent_http[$name]}" "$(path_of "$name" new)" \
        >/dev/null 2>&1
}

have_tomcat() {
    [ -r /usr/share/tomcat10/bin/bootstrap.jar ] && command -v java >/dev/null &&
        return
    apt_get tomcat10 default-jre-headless && return
    say "skipped: Tomcat (no package tomcat10); Margay is measured alone"
    return 1
}

# figure_row LABEL COLUMN UNIT [BUDGET]: the opponents' figures side by side,
# and how the first of them compares with each Tomcat.
figure_row() {
    local name first_one='' value values=() ratios=()
    for name in "${opponents[@]}"; do
        value=$(middle "$name" "$1" "$2")
        values+=("$value")
        : "${first_one:=$value}"
        [[ "$name" != tomcat* ]] || ratios+=("$(calc %.3f \
            "$value ? $first_one / $value : 0") of $name")
    done
    row "$3, $1" "${values[*]}" \
        "$(joined , "${ratios[@]}")${4:+; aim: at most $4}"
}

refused_row() {
    row 'answers that were not 200' "$(awk -F '|' \
        '{ n[$2] += $7 } END { for (k in n) printf "%s: %d ", k, n[k] }' \
        "$work/figures")" 'of all runs'
}

opponents_end() {
    local name
    for name in "${opponents[@]}"; do
        # shellcheck disable=SC2086 # pids, parted by spaces
        kill_all ${opponent_pids[$name]}
    done
}

cluster_rows() {
    local label
    for label in 'hit, one client' 'hit, 1000/s' 'hit, round robin'; do
        figure_row "$label" 4 'bytes a receiver' 1/8
    done
    figure_row 'me, 1000/s' 4 'bytes a receiver'
    for label in 'hit, one server' 'hit, sticky' 'hit, round robin' \
        'hit, 1000/s'; do
        figure_row "$label" 3 'CPU us' 1/5
    done
    for label in 'me, round robin' 'new, sticky'; do
        figure_row "$label" 3 'CPU us'
    done
    for label in 'hit, one server' 'hit, sticky' 'hit, round robin' \
        'me, round robin' 'new, sticky'; do
        figure_row "$label" 5 'a second'
    done
    for label in 'hit, 1000/s' 'me, 1000/s'; do
        figure_row "$label" 6 'p99 us' 1/3
    done
    refused_row
}

launch_all() {
    local name
    for name in 'margay all' 'margay none'; do
        launch_three "$name" '' one_margay
    done
    if have_tomcat; then
        for name in 'tomcat 6' 'tomcat 8+order'; do
            say "cluster: starting $name (three JVMs, one after the other)"
            opponents+=("$name")
            launch_three "$name" .jsp one_tomcat
        done
    fi
    for name in "${opponents[@]}"; do
        say "cluster: warming $name"
        warm "$name"
    done
}

part_cluster() {
    local opponents=('margay all' 'margay none') round
    local seconds=${BENCH_SECONDS:-3} rounds=${BENCH_ROUNDS:-3} first=()
    command -v ss >/dev/null || apt_get iproute2 ||
        fail "there is no ss" "as root: apt-get install iproute2"
    ! chrt -f 1 true 2>/dev/null || first=(chrt -f 1)
    launch_all
    : >"$work/figures"
    for ((round = 1; round <= rounds; round++)); do
        say "cluster: round $round of $rounds"
        cluster_round
    done
    row "three members" "$(joined , "${opponents[@]}")" \
        "medians of $rounds rounds of $seconds s; CPU of all three servers; 64 clients (16 at 1000/s, from when due${first[0]:+, all SCHED_FIFO}, 1 alone)"
    cluster_rows
    opponents_end
}

# --- a member comes ---

. bench/join.sh

# --- a primary and a backup ---

. bench/backup.sh

# --- a store ---

. bench/stores.sh

# --- all ---

# apt_get PACKAGE...
apt_get() {
    local sudo=
    [ "$(id -u)" -eq 0 ] || sudo="sudo -n"
    say "missing: $*; installing (apt-get)"
    $sudo env DEBIAN_FRONTEND=noninteractive timeout 300 apt-get install \
        -y -q --no-install-recommends "$@" >"$work/apt.log" 2>&1 </dev/null
}

install_valgrind() {
    command -v valgrind >/dev/null || apt_get valgrind ||
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

parts=(instructions memory latency start throughput cluster join backup stores)
[ $# -eq 0 ] || parts=("$@")
for part in "${parts[@]}"; do
    declare -F "part_$part" >/dev/null ||
        fail "no part is named $part" \
            "they are instructions memory latency start throughput cluster join backup stores"
done
[ -x "$margay" ] || fail "no $margay" "./dev build makes it"
make -C "$objects" bench/bare bench/load bench/start >"$work/make.log" 2>&1 ||
    fail "the tools do not compile" "$(tail -n 20 "$work/make.log")"
[[ " ${parts[*]} " != *" instructions "* ]] || install_valgrind
for part in "${parts[@]}"; do
    "part_$part"
done
table
