# SPDX-License-Identifier: Apache-2.0
# join.sh: a member comes to two that hold a million sessions, under load; and
# another one, whose donor is killed meanwhile. Part of run.sh, which reads it.
# shellcheck shell=bash

join_count=${BENCH_SESSIONS:-1000000}
declare -A member_pid member_http member_port

now_ms() { echo $((${EPOCHREALTIME/./} / 1000)); }
peak_kb() { sed -n 's/^VmHWM:[ \t]*\([0-9]*\).*/\1/p' /proc/"$1"/status; }

# A port that nobody has, below those that the system gives away.
choose_port() {
    local candidate
    while :; do
        candidate=$((10000 + RANDOM % 22000))
        [[ " ${member_port[*]} ${member_http[*]} " != *" $candidate "* ]] ||
            continue
        (: <"/dev/tcp/127.0.0.1/$candidate") 2>/dev/null || break
    done
    echo "$candidate"
}

choose_members() {
    local n
    for n in 1 2 3 4; do
        member_port[$n]=$(choose_port)
        member_http[$n]=$(choose_port)
    done
}

member() { # N: starts it
    local n=$1 listed=${member_port[*]/#/127.0.0.1:}
    "$margay" run -c "$conf/delta.xml" -D port="${member_http[$n]}" \
        -D node="node$n" -D cluster.port="${member_port[$n]}" \
        -D cluster.members="${listed// /,}" -D maxInactive=86400 \
        -D login.anyone=true 2>"$work/member$n.log" >/dev/null </dev/null &
    member_pid[$n]=$!
    started+=($!)
}

# ready N: sets $starting, how often it said that it is not.
ready() {
    local end=$(($(now_ms) + 120000)) answer
    starting=0
    while [ "$(now_ms)" -lt $end ]; do
        answer=$("$tools/load" -t 10 -i "${member_http[$1]}" /health 2>&1)
        case $answer in
        *$'\nready'*) return ;;
        *$'\nstarting'*) starting=$((starting + 1)) ;;
        esac
    done
    fail "member $1 is not ready in 120 s" "$(tail -n 5 "$work/member$1.log")"
}

active() { # N: sessions there
    load -i "${member_http[$1]}" /metrics |
        sed -n 's|^margay_sessions_active{context="/login",role="primary"} \([0-9]*\)\r*$|\1|p'
}

# hit at member $1, me at member $2, 1,000 of each a second, for $3 seconds;
# in the background. Sets $loads.
begin_load() {
    local steady=(-c 16 -r 1000 -d "$3" -t 300 -k "$work/cookies")
    "$tools/load" "${steady[@]}" "${member_http[$1]}" /login/hit \
        >"$work/hit" &
    loads=($!)
    "$tools/load" "${steady[@]}" "${member_http[$2]}" /login/me >"$work/me" &
    loads+=($!)
    started+=("${loads[@]}")
}

end_load() {
    local l
    for l in "${loads[@]}"; do
        wait "$l" || fail "a request failed: $(cat "$work/hit" "$work/me")"
    done
}

join_memory() { # COUNT LABEL
    local n
    for n in 1 2; do
        row "bytes a session at $2, member $n" "$(calc "%.0f" "($(resident_kb \
            "${member_pid[$n]}") - ${before[n]}) * 1024 / $1")" \
            "VmRSS above that after 10^4 hello; GET /login/new at member 1"
    done
}

join_third() {
    local began took what n kb=() was=()
    begin_load 1 2 5
    end_load
    for what in hit me; do was+=("$(value p99 <"$work/$what")"); done
    for n in 1 2; do
        kb[n]=$(resident_kb "${member_pid[$n]}")
        echo 5 >/proc/"${member_pid[$n]}"/clear_refs
    done
    begin_load 1 2 120
    sleep 0.2
    began=$(now_ms)
    member 3
    ready 3
    took=$(($(now_ms) - began))
    kill -TERM "${loads[@]}"
    end_load
    join_ms=$took
    [ "$(active 3)" -ge "$join_count" ] || fail "member 3 lacks sessions"
    row "joining with $join_count sessions" \
        "$(calc "%.1f s" "$took / 1000")" \
        "exec to ready on /health, which said starting $starting times"
    for what in hit me; do
        n=${was[0]}
        was=("${was[@]:1}")
        row "p99 of $what meanwhile" "$(value p99 <"$work/$what") us" \
            "the 5 s before: $n; at 1000/s of each; p50 $(value p50 \
                <"$work/$what")"
    done
    for n in 1 2; do
        row "most memory of member $n meanwhile" "$(calc "%+.1f %%" \
            "($(peak_kb "${member_pid[$n]}") / ${kb[n]} - 1) * 100")" \
            "VmHWM, to VmRSS before, aim 10 %"
    done
}

join_idle() {
    local n ns=()
    sleep 2
    for n in 1 2 3; do ns[n]=$(cpu_ns "${member_pid[$n]}"); done
    idle 30
    for n in 1 2 3; do
        ns[n]=$(calc "%.0f" "($(cpu_ns "${member_pid[$n]}") - ${ns[n]}) / 1e6")
    done
    row "CPU in 30 s idle, three members" "${ns[1]}, ${ns[2]}, ${ns[3]} ms" \
        "schedstat of all threads, $join_count sessions each"
}

# Whom member N takes its copies from; waits for it.
donor_of() {
    local i donor=
    for ((i = 0; i < 1000 && ! ${#donor}; i++)); do
        donor=$(sed -n 's/.*takes its copies from node\([0-9]\).*/\1/p' \
            "$work/member$1.log" | tail -n 1)
        sleep 0.01
    done
    echo "$donor"
}

join_fourth() {
    local began donor took n
    began=$(now_ms)
    member 4
    donor=$(donor_of 4)
    [ "$donor" ] || fail "member 4 takes its copies from nobody"
    sleep "$(calc "%.3f" "$join_ms / 3000")"
    kill -KILL "${member_pid[$donor]}"
    wait "${member_pid[$donor]}" 2>/dev/null
    ready 4
    took=$(($(now_ms) - began))
    grep -c 'takes its copies from' "$work/member4.log" | grep -qv '^1$' ||
        fail "its donor was killed too late"
    for n in 1 2 3 4; do
        [ "$n" = "$donor" ] && continue
        [ "$(active "$n")" -ge "$join_count" ] ||
            fail "member $n lacks sessions"
        end "${member_pid[$n]}"
    done
    row "the same, its donor killed" "$(calc "%.1f s" "$took / 1000")" \
        "kill -9 after a third of the time above; all sessions are there"
}

part_join() {
    local n before=() loads starting join_ms
    choose_members
    member 1
    member 2
    for n in 1 2; do
        ready $n
        load -c 64 -n 10000 "${member_http[$n]}" /login/hello >/dev/null
        before[n]=$(resident_kb "${member_pid[$n]}")
    done
    say "join: $join_count sessions of /login/new"
    load -c 64 -n $((join_count / 10)) "${member_http[1]}" /login/new \
        >/dev/null || fail "new"
    join_memory $((join_count / 10)) $((join_count / 10))
    load -c 64 -n $((join_count - join_count / 10)) "${member_http[1]}" \
        /login/new >/dev/null || fail "new"
    join_memory "$join_count" "$join_count"
    port=${member_http[1]}
    cookies 1
    join_third
    join_idle
    join_fourth
}
