#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# f_install.sh: make install DESTDIR=... puts everything below that folder, with
# no word of it in what is installed, and it runs there; once more it keeps what
# was changed; make uninstall leaves nothing but that and what is somebody
# else's. Run in the build directory.
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

# The release before had another sqlite.xml and delta.xml, which nobody changed
# and somebody did; users.xml was changed, and is the same in both releases.
shipped=$data/conf
for name in sqlite delta; do
    echo '<!-- old -->' | tee "$shipped/$name.xml" >"$conf/$name.xml"
done
chmod 600 "$conf/sqlite.xml"
echo '<!-- mine -->' | tee -a "$conf/users.xml" >>"$conf/delta.xml"
rm "$conf/file.xml"
rm "$conf/redis.xml"
ln -s /nowhere/redis.xml "$conf/redis.xml" # a mount that is away
echo '<!-- mine -->' >"$conf/backup.xml"
echo '<!-- mine too -->' >"$conf/backup.xml.new"
cp "$conf/users.xml" "$conf/delta.xml" "$TMPDIR"
for round in first second; do
    make -s install DESTDIR="$image" >"$TMPDIR/log" 2>&1 || {
        cat "$TMPDIR/log"
        fail "make install over what is there failed"
    }
    for name in users delta; do
        cmp "$conf/$name.xml" "$TMPDIR/$name.xml" ||
            fail "$round: $name.xml, which was changed, is not kept"
        cmp "$conf/$name.xml.new" "$shipped/$name.xml" ||
            fail "$round: $name.xml.new is not what is shipped"
        grep -q "/$name.xml was changed and is kept" "$TMPDIR/log" ||
            fail "$round: nothing says that $name.xml is kept"
    done
done
[ -L "$conf/redis.xml" ] || fail "a link to what is away is not kept"
grep -q 'mine too' "$conf/backup.xml.new" ||
    fail "backup.xml.new, which was changed, is not kept"
grep -q "/backup.xml and backup.xml.new were changed and are kept" \
    "$TMPDIR/log" || fail "nothing says that backup.xml.new is kept"
rm "$conf/redis.xml" "$conf/redis.xml.new" "$conf/backup.xml" "$conf/backup.xml.new"
make -s install DESTDIR="$image" >"$TMPDIR/log" 2>&1
for name in sqlite file; do
    cmp "$conf/$name.xml" "$shipped/$name.xml" ||
        fail "$name.xml is not the new one"
done
grep -q '<!-- old -->' "$shipped/sqlite.xml" "$shipped/delta.xml" &&
    fail "what was shipped before is not replaced"
[ "$(stat -c %a "$conf/sqlite.xml")" = 600 ] ||
    fail "sqlite.xml has another mode"
[ "$(find "$conf" -name '*.new' | wc -l)" = 2 ] || fail "a .new too many"
cp "$conf/users.xml.new" "$conf/users.xml" # it is taken as it is now
make -s install DESTDIR="$image" >"$TMPDIR/log" 2>&1
[ ! -e "$conf/users.xml.new" ] || fail "users.xml.new is of no use any more"

echo mine >"$conf/mine.xml"
mkdir -p "$data/webapps/mine/WEB-INF/lib"
echo mine >"$data/webapps/mine/WEB-INF/lib/mine.so"
make -s uninstall DESTDIR="$image" >"$TMPDIR/log" 2>&1 || {
    cat "$TMPDIR/log"
    fail "make uninstall failed"
}
left=$(find "$image" ! -type d | sort)
[ "$left" = "$conf/delta.xml
$conf/mine.xml
$data/webapps/mine/WEB-INF/lib/mine.so" ] ||
    fail "after make uninstall there is, and should be what is mine: $left"
grep -q "/delta.xml was changed and is kept" "$TMPDIR/log" ||
    fail "nothing says that delta.xml is kept"
rm -rf "$conf/mine.xml" "$conf/delta.xml" "$data/webapps/mine"
make -s uninstall DESTDIR="$image" >"$TMPDIR/log" 2>&1
left=$(find "$image" ! -type d
    find "$conf" "$data" "$image$(variable includedir)/margay" 2>/dev/null)
[ -z "$left" ] || fail "make uninstall left: $left"
exit "$bad"
