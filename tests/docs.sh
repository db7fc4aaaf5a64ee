#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# docs.sh: the example of docs/servlet.md is a web application that compiles
# as the page says, against the installed name of the header, in C and C++
# alike, and exports what its web.xml names.
set -u
top=${srcdir:-$(dirname "$0")/..}
: "${CC:=gcc}" "${TMPDIR:=/tmp}"
work=$(mktemp -d "$TMPDIR/docs-XXXXXX") || exit 99
trap 'rm -rf "$work"' EXIT

# block LANGUAGE: the first block of that language.
block() {
    awk -v fence="\`\`\`$1" '$0 == fence && !done { f = 1; next }
        /^```/ { if (f) done = 1; f = 0 } f' "$top/docs/servlet.md"
}

mkdir "$work/margay" || exit 99
cp "$top/container/servlet.h" "$work/margay/" || exit 99
block c >"$work/hello.c"
block xml >"$work/web.xml"
[ -s "$work/hello.c" ] && [ -s "$work/web.xml" ] || {
    echo "docs/servlet.md: the example or its web.xml is gone"
    exit 1
}

$CC -shared -fPIC -Wall -Wextra -Werror -Wl,-Bsymbolic -I"$work" \
    -o "$work/hello.so" "$work/hello.c" || {
    echo "docs/servlet.md: the example does not compile"
    exit 1
}
# A C compiler may come without its C++ half.
echo 'int i;' | $CC -fsyntax-only -x c++ - 2>/dev/null &&
    ! printf '#include <margay/servlet.h>\n' |
    $CC -Wall -Wextra -Werror -I"$work" -fsyntax-only -x c++ - && {
    echo "container/servlet.h: not fit for C++"
    exit 1
}
class=$(sed -n 's|.*<servlet-class>\(.*\)</servlet-class>.*|\1|p' \
    "$work/web.xml")
nm -D --defined-only "$work/hello.so" | grep -q " [DR] $class\$" || {
    echo "docs/servlet.md: web.xml names $class, hello.so has no such object"
    exit 1
}
