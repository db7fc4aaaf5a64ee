#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# f_install.sh: make install DESTDIR=... puts everything below that folder, with
# no word of it in what is installed, and it runs there; make uninstall leaves
# nothing but what is somebody else's. Run in the build directory.
set -u
LC_ALL=C
export LC_ALL
image=$TMPDIR/image
unset MAKEFLAGS MFLAGS MAKELEVEL DESTDIR
bad=0
fail() {
    echo "f_install.sh: $*"
    bad=1
}

# variable NAME: of the Makefile, with what stands in it filled in.
variable() {
    printf 'print-it:\n\t@echo $(%s)\n' "$1" |
        make -s -f Makefile -f - print-it
}

make -s install DESTDIR="$image" >"$TMPDIR/log" 2>&1 || {
    cat "$TMPDIR/log"
    fail "make install failed"
}
bin=$image$(variable bindir)
conf=$image$(variable margayconfdir)
data=$image$(variable margaydatadir)
pages=
grep -q '^RUNS_HERE_TRUE = #' Makefile ||
    pages="$image$(variable man1dir)/margay.1
        $image$(variable man5dir)/server.xml.5"
# shellcheck disable=SC2086 # the pages are words
for file in "$bin/margay" "$conf/server.xml" \
    "$data/webapps/login/WEB-INF/lib/login.so" \
    "$image$(variable libdir)/libmargay.so" \
    "$image$(variable libdir)/pkgconfig/margay.pc" \
    "$image$(variable includedir)/margay/servlet.h" \
    "$image$(variable man3dir)/margay-webapp.3" $pages; do
    [ -f "$file" ] || fail "not installed: ${file#"$image"}"
done
find "$image" -name '*.la' -path '*WEB-INF*' | grep . &&
    fail "libtool's notes about a module are installed"
# Text only: what is compiled carries the path of its debug information.
grep -rIl -e "$TMPDIR" -e '@[a-z]*dir@' "$image" &&
    fail "the files above name the image, or a path that was not filled in"
"$bin/margay" check -c "$conf/standard.xml" >"$TMPDIR/log" 2>&1 || {
    cat "$TMPDIR/log"
    fail "what is installed does not run in its image"
}

echo mine >"$conf/mine.xml"
mkdir -p "$data/webapps/mine/WEB-INF/lib"
echo mine >"$data/webapps/mine/WEB-INF/lib/mine.so"
make -s uninstall DESTDIR="$image" >"$TMPDIR/log" 2>&1 || {
    cat "$TMPDIR/log"
    fail "make uninstall failed"
}
left=$(find "$image" ! -type d | sort)
[ "$left" = "$conf/mine.xml
$data/webapps/mine/WEB-INF/lib/mine.so" ] ||
    fail "after make uninstall there is, and should be what is mine: $left"
rm -rf "$conf/mine.xml" "$data/webapps/mine"
make -s uninstall DESTDIR="$image" >"$TMPDIR/log" 2>&1
left=$(find "$image" ! -type d
    find "$conf" "$data" "$image$(variable includedir)/margay" 2>/dev/null)
[ -z "$left" ] || fail "make uninstall left: $left"
exit "$bad"
