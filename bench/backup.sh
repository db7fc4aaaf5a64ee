# SPDX-License-Identifier: Apache-2.0
# backup.sh: BackupManager beside DeltaManager as members are added, and beside
# Tomcat's BackupManager. Part of run.sh, which reads it.
# shellcheck shell=bash

backup_count=${BENCH_SESSIONS:-100000}
fleet_pid=() fleet_http=() # of the members that run, from 0

# fleet KIND COUNT: so many members with conf/KIND.xml, all of them ready.
fleet() {
    local kind=$1 count=$2 n all ports listed
    mapfile -t all < <(free_ports $((2 * count)))
    fleet_http=("${all[@]:0:count}") fleet_pid=()
    ports=("${all[@]:count}")
    listed=$(joined , "${ports[@]/#/127.0.0.1:}")
    for ((n = 0; n < count; n++)); do
        launch "$kind-$count-$n.log" "$margay" run -c "$conf/$kind.xml" \
            -D port="${fleet_http[n]}" -D node="node$((n + 1))" \
            -D cluster.port="${ports[n]}" -D cluster.members="$listed" \
            -D maxInactive=86400 -D login.anyone=true
        fleet_pid+=("$pid")
    done
    for n in "${fleet_http[@]}"; do
        is_ready "$n" || fail "$kind: no member at port $n" \
            "$(tail -n 5 "$work/$kind-$count"-*.log)"
    done
}

is_ready() { # PORT: within a minute
    local i
    for ((i = 0; i < 300; i++)); do
        load -i "$1" /health 2>/dev/null | grep -q '^ready' && return
        sleep 0.2
    done
    return 1
}

fleet_end() {
    kill_all "${fleet_pid[@]}"
}

# metric NAME PORT...: the sum of it at these members.
metric() {
    local name=$1 p
    shift
    for p in "$@"; do
        load -i "$p" /metrics
    done | tr -d '\r' |
        awk -v name="$name" '$1 == name { n += $2 } END { printf "%.0f\n", n }'
}
held() { metric "margay_sessions_active{context=\"/login\",role=\"$1\"}" "$2"; }

# What all members have sent so far: bytes, frames and microseconds of now.
sent() {
    metric margay_replication_bytes_sent_total "${fleet_http[@]}"
    metric margay_replication_frames_sent_total "${fleet_http[@]}"
    echo "${EPOCHREALTIME/./}"
}

# spent COUNT COMMAND...: sets $bytes and $frames, each for one of COUNT, less
# what the members say when nothing happens ($idle_bytes and $idle_frames a us).
spent() {
    local count=$1 before after
    shift
    mapfile -t before < <(sent)
    "$@" || fail "not answered as expected: $*"
    sleep 0.3
    mapfile -t after < <(sent)
    bytes=$(calc %.0f "(${after[0]} - ${before[0]} - $idle_bytes * \
        (${after[2]} - ${before[2]})) / $count")
    frames=$(calc %.2f "(${after[1]} - ${before[1]} - $idle_frames * \
        (${after[2]} - ${before[2]})) / $count")
}

learn_idle() {
    local before after
    sleep 2 # what was to be told of the last requests has been told
    mapfile -t before < <(sent)
    sleep 3
    mapfile -t after < <(sent)
    idle_bytes=$(calc %.9f \
        "(${after[0]} - ${before[0]}) / (${after[2]} - ${before[2]})")
    idle_frames=$(calc %.9f \
        "(${after[1]} - ${before[1]}) / (${after[2]} - ${before[2]})")
}

# new_session PORT: prints its cookie.
new_session() {
    load -i "$1" /login/new | sed -n 's/^Set-Cookie: \([^;]*\);.*/\1/p'
}

# ask_each ROLE WHAT TIMES: each of the sessions so often, alone, at the member
# that has that role in it.
ask_each() {
    local n at
    for n in "${!session_cookie[@]}"; do
        case $1 in
        primary) at=${fleet_http[0]} ;;
        backup) at=${session_backup[n]} ;;
        stray) at=${session_stray[n]} ;;
        esac
        echo "${session_cookie[n]}" >"$work/one"
        load -n "$3" -k "$work/one" "$at" "/login/$2" >/dev/null || return
    done
}

# Sessions made at the first member, who holds them besides, and who does not.
make_sessions() { # COUNT
    local n p was found i
    session_cookie=() session_backup=() session_stray=()
    for ((n = 0; n < $1; n++)); do
        was=()
        for p in "${fleet_http[@]:1}"; do was+=("$(held backup "$p")"); done
        session_cookie+=("$(new_session "${fleet_http[0]}")")
        found=
        for ((i = 0; i < 50 && ! ${#found}; i++)); do
            for p in "${!was[@]}"; do
                [ "$(held backup "${fleet_http[p + 1]}")" = "${was[p]}" ] &&
                    continue
                found=$p
            done
        done
        [ "$found" ] || fail "nobody is the backup of a new session"
        session_backup+=("${fleet_http[found + 1]}")
        session_stray+=("${fleet_http[(found + 1) % (${#was[@]}) + 1]}")
    done
}

many_new() {
    load -c 64 -n "$1" "${fleet_http[0]}" /login/new >"$work/load"
}
lonely_new() { load -n "$1" "${fleet_http[0]}" /login/new >/dev/null; }

# note LABEL VALUES: a figure of this fleet, in the order in which they come.
note() {
    noted[$1]+="${noted[$1]:+; }$2"
    [[ " ${note_order[*]} " == *" ${1// /_} "* ]] || note_order+=("${1// /_}")
}

backup_messages() {
    local role what n moved
    make_sessions 24
    for role in primary backup stray; do
        for what in hit me; do
            # a hit is two calls, and a streak of 32 would move the session
            ask_each primary hit 1 || fail "hit"
            sleep 0.5
            spent $((24 * 10)) ask_each "$role" "$what" 10
            note "$what at $role" "$bytes in $frames"
        done
    done
    for ((n = 0; n < 64; n++)); do
        new_session "${fleet_http[n % ${#fleet_http[@]}]}"
    done >"$work/cookies"
    moved=$(metric margay_sessions_moved_total "${fleet_http[@]}")
    spent 10000 load -c 64 -n 10000 -k "$work/cookies" \
        "$(joined , "${fleet_http[@]}")" /login/hit >"$work/load"
    note 'hit, round robin, 64 clients' "$bytes in $frames"
    note 'moves in 1,000 of these' "$(calc %.2f "($(metric \
        margay_sessions_moved_total "${fleet_http[@]}") - $moved) / 10")"
}

delta_messages() {
    local what
    session_cookie=("$(new_session "${fleet_http[0]}")")
    for what in hit me; do
        spent 300 ask_each primary "$what" 300
        note "DeltaManager: $what" "$bytes in $frames"
    done
}

# What a copy and a proxy cost: members but the first hold some as backups, and
# know of all. bytes_here N: above what member N had at first.
bytes_here() {
    calc %.0f "($(resident_kb "${fleet_pid[$1]}") - ${resident[$1]}) * 1024"
}

backup_bytes() {
    local n p table backups=0 all=0 lists
    n=$((${#fleet_http[@]} - 1))
    table=$(metric margay_sessions_places_bytes "${fleet_http[n]}")
    lists=$(($(held backup "${fleet_http[n]}") + \
        $(held proxy "${fleet_http[n]}")))
    note 'state bytes a proxied session' "$(calc %.1f "$table / $lists")"
    for ((p = 1; p <= n; p++)); do
        backups=$((backups + $(held backup "${fleet_http[p]}")))
        all=$((all + $(bytes_here $p)))
    done
    note 'resident a session, primary' \
        "$(calc %.0f "$(bytes_here 0) / $backup_count")"
    # the others: copies, and the table of all
    note 'resident a session, backup' \
        "$(calc %.0f "($all - $n * $table) / $backups + $table / $lists")"
    note 'resident a session, mean of all' \
        "$(calc %.0f "($all + $(bytes_here 0)) / ($n + 1) / $backup_count")"
}

backup_fleet() { # KIND COUNT
    local kind=$1 count=$2 n resident=() idle_bytes=0 idle_frames=0
    local session_cookie session_backup session_stray bytes frames
    say "backup: $kind, $count members, $backup_count sessions"
    fleet "$kind" "$count"
    for ((n = 0; n < count; n++)); do
        load -c 64 -n 10000 "${fleet_http[n]}" /login/hello >/dev/null
        resident+=("$(resident_kb "${fleet_pid[n]}")")
    done
    local name=
    [ "$kind" = backup ] || name='DeltaManager: '
    learn_idle
    spent 200 lonely_new 200
    note "${name}create" "$bytes in $frames"
    spent $((backup_count - 200)) many_new $((backup_count - 200))
    note "${name}create, 64 clients" "$bytes in $frames"
    sleep 1
    if [ "$kind" = backup ]; then
        backup_bytes
    else
        note "${name}resident a session" \
            "$(calc %.0f "$(bytes_here 1) / $backup_count")"
    fi
    learn_idle
    "${kind}_messages"
    fleet_end
}

part_backup_members() {
    local -A noted=()
    local note_order=() count label members=${BENCH_MEMBERS:-4 6 8}
    for count in $members; do
        backup_fleet backup "$count"
        backup_fleet delta "$count"
    done
    row 'members' "${members// /; }" \
        "$backup_count sessions of /login/new at the first; messages: bytes in frames of all members a request, one client unless it says more"
    for label in "${note_order[@]}"; do
        label=${label//_/ }
        row "$label" "${noted[$label]}" ''
    done
}

# --- three members, beside Tomcat's BackupManager ---

backup_margay() { # NAME NODE PORT PORTS
    local ports
    IFS=, read -r -a ports <<<"$4"
    launch "$1-$2.log" "$margay" run -c "$conf/backup.xml" -D port="$3" \
        -D node="node$2" -D cluster.port="${ports[$2 - 1]}" \
        -D cluster.members="$(joined , "${ports[@]/#/127.0.0.1:}")" \
        -D login.anyone=true
}

backup_tomcat() { # NAME NODE PORT PORTS
    launch "$1-$2.log" bench/tomcat.sh "$work/$1-$2" "$2" "$3" "$4" 6 backup
}

# Sessions of the clients, each at the member where a sticky client asks.
backup_cookies() { # NAME
    local http i
    IFS=, read -r -a http <<<"${opponent_http[$1]}"
    for ((i = 0; i < 64; i++)); do
        load -i "${http[i % 3]}" "$(path_of "$1" new)" |
            sed -n 's/^Set-Cookie: \([^;]*\);.*/\1/p'
    done >"$work/cookies $1"
    [ "$(wc -l <"$work/cookies $1")" -eq 64 ] || fail "$1: no sessions"
}

backup_round() {
    in_turn 'hit, sticky' hit -c 64 -d "$seconds" -s
    in_turn 'hit, round robin' hit -c 64 -d "$seconds"
    in_turn 'new, sticky' new -c 64 -n 2000 -s
    in_turn 'new, round robin' new -c 64 -n 2000
    in_turn 'me, sticky' me -c 64 -d "$seconds" -s
    in_turn 'me, round robin' me -c 64 -d "$seconds"
    in_turn 'new, round robin, 100/s' new -c 16 -r 100 -d "$seconds"
    in_turn 'hit, round robin, 1000/s' hit -c 16 -r 1000 -d "$seconds"
    # a session is where its client asks, at both
    local name
    for name in "${opponents[@]}"; do backup_cookies "$name"; done
    in_turn 'hit, sticky, 1000/s' hit -c 16 -r 1000 -d "$seconds" -s
    for name in "${opponents[@]}"; do backup_cookies "$name"; done
}

backup_rows() {
    local label
    for label in 'hit, sticky' 'hit, round robin' 'hit, sticky, 1000/s' \
        'hit, round robin, 1000/s'; do
        figure_row "$label" 3 'CPU us' 1/8
    done
    for label in 'new, sticky' 'new, round robin' 'new, round robin, 100/s'; do
        figure_row "$label" 3 'CPU us' 1/20
    done
    for label in 'me, sticky' 'me, round robin'; do
        figure_row "$label" 3 'CPU us'
    done
    for label in 'hit, sticky' 'hit, round robin' 'new, round robin' \
        'me, round robin'; do
        figure_row "$label" 5 'a second'
    done
    for label in 'hit, sticky, 1000/s' 'hit, round robin, 1000/s' \
        'new, round robin, 100/s'; do
        figure_row "$label" 6 'p99 us'
    done
    refused_row
}

part_backup_beside() {
    local opponents=('margay backup') name round
    local seconds=${BENCH_SECONDS:-3} rounds=${BENCH_ROUNDS:-3} first=()
    command -v ss >/dev/null || apt_get iproute2 ||
        fail "there is no ss" "as root: apt-get install iproute2"
    ! chrt -f 1 true 2>/dev/null || first=(chrt -f 1)
    launch_three 'margay backup' '' backup_margay
    if have_tomcat; then
        say "backup: starting three Tomcats, one after the other"
        opponents+=('tomcat backup')
        launch_three 'tomcat backup' .jsp backup_tomcat
    fi
    for name in "${opponents[@]}"; do
        say "backup: warming $name"
        warm "$name"
        backup_cookies "$name"
    done
    : >"$work/figures"
    for ((round = 1; round <= rounds; round++)); do
        say "backup: round $round of $rounds, load $(cut -d ' ' -f 1 \
            /proc/loadavg)"
        backup_round
    done
    row "three members" "$(joined , "${opponents[@]}")" \
        "medians of $rounds rounds of $seconds s; CPU of all three servers; 64 clients (16 at a rate, from when due${first[0]:+, all SCHED_FIFO})"
    backup_rows
    opponents_end
}

part_backup() {
    part_backup_members
    part_backup_beside
}
