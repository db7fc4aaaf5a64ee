# SPDX-License-Identifier: Apache-2.0
# stores.sh: one instance with its sessions in a store, each store in turn,
# beside one Tomcat with its PersistentValve over files and over SQLite. Part of
# run.sh, which reads it.
# shellcheck shell=bash

# What a store's server is asked for by one request, and the bytes each way.
declare -A store_port store_pid

store_listens() { # PORT: within 10 seconds
    local i
    for ((i = 0; i < 100; i++)); do
        (: <"/dev/tcp/127.0.0.1/$1") 2>/dev/null && return
        sleep 0.1
    done
    fail "no store listens at port $1" "$(tail -n 5 "$work"/server-*.log)"
}

# store_margay KIND [OPTION]...: one instance with conf/KIND.xml.
store_margay() {
    local kind=$1 at
    shift
    mapfile -t at < <(free_ports 1)
    launch "margay-$kind.log" "$margay" run -c "$conf/$kind.xml" \
        -D port="${at[0]}" -D login.anyone=true "$@"
    opponents+=("margay $kind")
    opponent_pids["margay $kind"]=$pid
    opponent_http["margay $kind"]=${at[0]}
    opponent_ports["margay $kind"]=
    opponent_end["margay $kind"]=
}

store_tomcat() { # KIND
    local at
    mapfile -t at < <(free_ports 1)
    launch "tomcat $1-1.log" bench/tomcat.sh "$work/tomcat-$1" 1 \
        "${at[0]}" 0 0 "$1"
    opponents+=("tomcat $1")
    opponent_pids["tomcat $1"]=$pid
    opponent_http["tomcat $1"]=${at[0]}
    opponent_ports["tomcat $1"]=
    opponent_end["tomcat $1"]=.jsp
}

store_servers() {
    local at
    store_margay sqlite -D store.path="$work/sessions.db"
    store_margay file -D store.path="$work/sessions"
    mapfile -t at < <(free_ports 1)
    if command -v redis-server >/dev/null || apt_get redis-server; then
        mkdir "$work/redis"
        launch server-redis.log redis-server --port "${at[0]}" \
            --bind 127.0.0.1 --dir "$work/redis" --save '' \
            --appendonly yes --appendfsync everysec
        store_pid[redis]=$pid
        store_port[redis]=${at[0]}
        store_listens "${at[0]}"
        store_margay redis -D store.url="redis://127.0.0.1:${at[0]}/0"
    else
        say "skipped: Redis (no package redis-server)"
    fi
    mapfile -t at < <(free_ports 3)
    if command -v memcached >/dev/null || apt_get memcached; then
        local n pids=()
        for n in 0 1 2; do
            launch "server-memcached-$n.log" memcached -u nobody \
                -l 127.0.0.1 -p "${at[n]}" -U 0
            pids+=("$pid")
            store_listens "${at[n]}"
        done
        store_pid[memcached]=${pids[*]}
        store_port[memcached]=${at[*]}
        store_margay memcached -D \
            store.url="memcached://$(joined , "${at[@]/#/127.0.0.1:}")"
    else
        say "skipped: Memcached (no package memcached)"
    fi
}

# store_bytes PORTS: payload to its servers so far, and from them.
store_bytes() {
    local p to='' from=''
    for p in $1; do
        to+="${to:+ or }dport = :$p"
        from+="${from:+ or }sport = :$p"
    done
    for p in "$to" "$from"; do
        ss -Htin state established "( $p )" |
            grep -o 'bytes_sent:[0-9]*' |
            awk -F : '{ n += $2 } END { printf "%.0f\n", n }'
    done
}

# watched KIND COMMAND...: runs it, and sets $commands: what the store's servers
# were sent meanwhile. What a script of Redis does is not sent.
watched() {
    local kind=$1 before after watcher p
    shift
    if [ "$kind" = redis ]; then
        redis-cli -p "${store_port[redis]}" monitor >"$work/monitor" &
        watcher=$!
        sleep 0.5
        "$@"
        sleep 0.5
        kill "$watcher"
        wait "$watcher" 2>/dev/null
        commands=$(grep -c '^[0-9.]* \[0 127' "$work/monitor")
        return
    fi
    before=$(memcached_commands)
    "$@"
    after=$(memcached_commands)
    commands=$((after - before))
}

memcached_commands() {
    local p line n=0
    for p in ${store_port[memcached]}; do
        exec 3<>"/dev/tcp/127.0.0.1/$p"
        printf 'stats\r\nquit\r\n' >&3
        while read -r line; do
            case $line in
            'STAT cmd_get '* | 'STAT cmd_set '* | 'STAT cmd_touch '* | \
                'STAT cmd_meta '* | 'STAT delete_'*)
                line=${line##* }
                n=$((n + ${line%$'\r'}))
                ;;
            esac
        done <&3
        exec 3>&-
    done
    echo "$n"
}

store_io() { # PID: bytes written and read by calls, and these calls
    awk -F ': ' '{ v[$1] = $2 }
        END { print v["wchar"]; print v["rchar"]; print v["syscr"] + v["syscw"] }' \
        "/proc/$1/io"
}

# What one request says to the store: 200 of one client, alone.
store_talk() {
    local kind what before after cookie name
    for kind in sqlite file redis memcached; do
        name="margay $kind"
        [ "${opponent_pids[$name]-}" ] || continue
        for what in hit me; do
            cookie=(-n 200 -k "$work/cookies $name" "${opponent_http[$name]}"
                "/login/$what")
            if [ "${store_port[$kind]-}" ]; then
                mapfile -t before < <(store_bytes "${store_port[$kind]}")
                watched "$kind" load "${cookie[@]}" >"$work/load"
                mapfile -t after < <(store_bytes "${store_port[$kind]}")
                row "$kind, $what" "$(calc '%.2f commands, %.0f + %.0f bytes' \
                    "$commands / 200, (${after[0]} - ${before[0]}) / 200, \
                    (${after[1]} - ${before[1]}) / 200")" \
                    'to the store and from it, a request; one client'
            else
                mapfile -t before < <(store_io "${opponent_pids[$name]}")
                load "${cookie[@]}" >"$work/load"
                mapfile -t after < <(store_io "${opponent_pids[$name]}")
                row "$kind, $what" "$(calc '%.2f calls, %.0f + %.0f bytes' \
                    "(${after[2]} - ${before[2]}) / 200, \
                    (${after[0]} - ${before[0]}) / 200, \
                    (${after[1]} - ${before[1]}) / 200")" \
                    'written to files and read from them, a request; one client'
            fi
        done
    done
}

stores_round() {
    in_turn hit hit -c 64 -d "$seconds"
    in_turn me me -c 64 -d "$seconds"
    in_turn new new -c 64 -n 3000
    in_turn 'hit, 1000/s' hit -c 16 -r 1000 -d "$seconds"
    in_turn 'me, 1000/s' me -c 16 -r 1000 -d "$seconds"
}

# beside_both LABEL COLUMN UNIT [BUDGET]: each store's figure, and its part of
# both Tomcats'.
beside_both() {
    local name value tomcat=() ratios
    for name in "${opponents[@]}"; do
        [[ "$name" != tomcat* ]] ||
            tomcat+=("$(middle "$name" "$1" "$2")")
    done
    for name in "${opponents[@]}"; do
        value=$(middle "$name" "$1" "$2")
        ratios=
        if [[ "$name" == margay* && ${#tomcat[@]} -eq 2 ]]; then
            ratios="$(calc '%.3f of Tomcat with files, %.3f with SQLite' \
                "$value / ${tomcat[0]}, $value / ${tomcat[1]}")${4:+; aim: at most $4}"
        fi
        row "$3, $1, $name" "$value" "$ratios"
    done
}

part_stores() {
    local opponents=() name round
    local seconds=${BENCH_SECONDS:-3} rounds=${BENCH_ROUNDS:-3} first=()
    command -v ss >/dev/null || apt_get iproute2 ||
        fail "there is no ss" "as root: apt-get install iproute2"
    ! chrt -f 1 true 2>/dev/null || first=(chrt -f 1)
    store_servers
    if have_tomcat && { [ -r /usr/share/java/sqlite-jdbc.jar ] ||
        apt_get libxerial-sqlite-jdbc-java; }; then
        store_tomcat file
        store_tomcat sqlite
    fi
    for name in "${opponents[@]}"; do
        say "stores: warming $name"
        warm "$name"
    done
    store_talk
    : >"$work/figures"
    for ((round = 1; round <= rounds; round++)); do
        say "stores: round $round of $rounds, load $(cut -d ' ' -f 1 \
            /proc/loadavg)"
        stores_round
    done
    row "one instance and its store" "$(joined , "${opponents[@]}")" \
        "medians of $rounds rounds of $seconds s; CPU of the instance, not of its store's server; 64 clients (16 at a rate, from when due${first[0]:+, all SCHED_FIFO})"
    beside_both hit 3 'CPU us' 1/10
    beside_both 'hit, 1000/s' 3 'CPU us'
    beside_both me 3 'CPU us'
    beside_both new 3 'CPU us'
    beside_both hit 5 'a second'
    beside_both me 5 'a second'
    beside_both 'hit, 1000/s' 6 'p99 us'
    beside_both 'me, 1000/s' 6 'p99 us'
    refused_row
    opponents_end
    # shellcheck disable=SC2086 # there may be none
    kill_all ${store_pid[redis]-} ${store_pid[memcached]-}
}
