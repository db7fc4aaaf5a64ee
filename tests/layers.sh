#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# layers.sh [DIRECTORY]: the direction in which the rooms know each other, and
# what no source of ours may contain. Prints file:line and the rule for each
# violation; exit 1 if there is any.
set -u
LC_ALL=C
export LC_ALL
cd "${1:-${srcdir:-$(dirname "$0")/..}}" || exit 99

rooms=
for room in session managers container webapps man tests bench; do
    [ -d "$room" ] && rooms="$rooms $room"
done
# shellcheck disable=SC2086 # names of rooms hold no spaces
files=$(find $rooms -name '*.[ch]' | sort)
[ "$files" ] || { echo "layers.sh: no source here: $PWD"; exit 99; }

# What no module.am names is neither built nor shipped.
# shellcheck disable=SC2046,SC2086 # names of module.am hold no spaces
unlisted=$(printf '%s\n' "$files" | awk '
    FILENAME != "-" { for (i = 1; i <= NF; i++) listed[$i] = 1; next }
    { program = $0; sub(/\.c$/, "", program) }
    !/^bench\// && !($0 in listed) && !(program in listed) {
        print $0 ":1: in no module.am"
    }' $(find $rooms -name module.am) -)
[ -z "$unlisted" ] || printf '%s\n' "$unlisted"

# shellcheck disable=SC2086 # names of sources hold no spaces
awk -v violations="$(printf '%s' "$unlisted" | grep -c .)" '
function bad(rule) {
    printf "%s:%d: %s\n", FILENAME, FNR, rule
    violations++
}

# Which rooms a room may include. main.c sees every room, and so does man/.
function may_include(header, to) {
    to = header
    sub(/\/.*/, "", to)
    if (room == "tests" || room == "bench" || room == "man")
        return 1
    if (room == "session")
        return to == "session"
    if (room == "managers")
        return to == "managers" || to == "session"
    if (room == "webapps")
        return header == "container/servlet.h" ||
               index(header, own "/") == 1
    if (FILENAME == "container/main.c")
        return to == "container" || to == "session" || to == "managers"
    return to == "container" || to == "session"
}

function check_own(header) {
    if (header == "config.h") {
        if (FILENAME ~ /\.h$/ && FILENAME !~ /_list\.h$/)
            bad("config.h belongs into .c files")
        return
    }
    if (header !~ /\//)
        bad("\"" header "\" is included without its room")
    else if (!may_include(header))
        bad(room " must not include \"" header "\"")
    else if (room == "container" && header ~ /_impl\.h$/)
        bad("\"" header "\" is for those who implement it, not for container")
}

# The outside libraries, and where each may be included.
BEGIN {
    where["^microhttpd\\.h$"] = "^container/connector\\.c$"
    where["^expat\\.h$"] = "^container/xml\\.c$"
    where["^jansson\\.h$"] = "^container/sessions_json\\.c$"
    where["^crypt\\.h$"] = "^container/realm\\.c$"
    where["^dlfcn\\.h$"] = "^container/loader\\.c$"
    where["^uv\\.h$"] = "^container/(main|instance|launcher)\\.c$" \
        "|^managers/cluster/"
    where["^sqlite3\\.h$"] = "^managers/stores/sqlite\\.c$"
    where["^hiredis/"] = "^managers/stores/redis\\.c$"
    where["^libmemcached"] = "^managers/stores/memcached\\.c$"
    where["^gnutls/"] = "^managers/cluster/[a-z_]*\\.c$"
    where["^(uuid/)?uuid\\.h$"] = "^session/id\\.c$"
    where["^msgpack(\\.h|/)"] = "^session/pack\\.c$"
    where["^(CUnit|curl)/"] = "^tests/"
    where["^(sys/(socket|epoll)|poll|netdb|netinet/.*|arpa/inet)\\.h$"] = \
        "^(container|managers|webapps)/"
}

function check_outside(header, pattern) {
    if (room == "tests" || room == "bench")
        return
    for (pattern in where)
        if (header ~ pattern && FILENAME !~ where[pattern])
            bad("<" header "> is not for this file")
}

function check_include(line, header) {
    header = line
    sub(/^[ \t]*#[ \t]*include[ \t]*[<"]/, "", header)
    sub(/[>"].*/, "", header)
    if (!includes++ && FILENAME ~ /\.c$/ && header != "config.h" &&
        room != "webapps")
        bad("the first include of a .c file is \"config.h\"")
    if (line ~ /include[ \t]*"/)
        check_own(header)
    else
        check_outside(header)
}

# The line without comments, and with its strings and characters emptied.
function code_of(line, out, c, i, n) {
    out = ""
    n = length(line)
    for (i = 1; i <= n; i++) {
        c = substr(line, i, 1)
        if (in_comment) {
            if (substr(line, i, 2) == "*/") {
                in_comment = 0
                i++
            }
        } else if (quote != "") {
            if (c == "\\")
                i++
            else if (c == quote) {
                quote = ""
                out = out c
            }
        } else if (substr(line, i, 2) == "/*") {
            in_comment = 1
            i++
        } else if (substr(line, i, 2) == "//") {
            break
        } else {
            if (c == "\"" || c == "\047")
                quote = c
            out = out c
        }
    }
    quote = ""
    return out
}

function calls(code, names) {
    return code ~ ("(^|[^A-Za-z0-9_])(" names ")[ \t]*\\(")
}

FNR == 1 {
    room = own = FILENAME
    sub(/\/.*/, "", room)
    sub(/\/[^\/]*$/, "", own)
    includes = in_comment = 0
    if ($0 !~ /SPDX-License-Identifier: Apache-2\.0/)
        bad("the first line names the licence (SPDX)")
}
FNR == 801 { bad("more than 800 lines") }
/(^|[^A-Za-z0-9_])(TO[D]O|FIX[M]E|X[X]X)([^A-Za-z0-9_]|$)/ {
    bad("an unfinished mark")
}
{
    commented = in_comment
    code = code_of($0)
    if (!commented && code ~ /^[ \t]*#[ \t]*include[ \t]*[<"]/)
        check_include($0)
    if (calls(code, "strcpy|strcat|v?sprintf|gets|strtok|s?rand|tmpnam|mktemp|" \
                    "alloca"))
        bad("a function that is not used here")
    if (room != "tests" && room != "bench" && calls(code, "ato[ilf]|atoll"))
        bad("bytes from outside are read by a checked decoder")
    if (room == "session" && FILENAME ~ /\.c$/ &&
        FILENAME != "session/log.c" &&
        calls(code, "clock_gettime|gettimeofday|time|instant_read"))
        bad("session/ reads no clock: now is an argument")
}
END {
    if (violations)
        printf "%d violations\n", violations
    exit violations > 0
}
' $files
