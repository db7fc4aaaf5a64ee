#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# put.sh install|remove ETC SHIPPED FILE...: puts the configurations into ETC,
# or takes them away, and keeps what the operator has changed there: that is
# what differs from the copy in SHIPPED, which is of the release before. Beside
# one that is kept the new one is put as NAME.new.
set -eu
verb=$1
etc=$2
shipped=$3
shift 3

# A link to what is away is there, too.
is_there() {
    [ -e "$1" ] || [ -L "$1" ]
}

same() {
    [ -f "$1" ] && [ -f "$2" ] && cmp -s "$1" "$2"
}

# is_ours PLACE FILE: nobody has changed it.
is_ours() {
    same "$1" "$2" || same "$1" "$shipped/${2##*/}"
}

put() {
    cp "$1" "$2"
    chmod 644 "$2"
}

install_one() {
    place=$etc/${1##*/}
    if ! is_there "$place"; then
        put "$1" "$place"
    elif is_ours "$place" "$1"; then
        same "$place" "$1" || cp "$1" "$place" # with the mode that it has
    elif is_there "$place.new" && ! is_ours "$place.new" "$1"; then
        echo "$place and ${place##*/}.new were changed and are kept; that of" \
            "this release is $shipped/${place##*/}"
        return
    else
        put "$1" "$place.new"
        echo "$place was changed and is kept; that of this release is beside" \
            "it, as ${place##*/}.new"
        return
    fi
    if is_ours "$place.new" "$1"; then rm "$place.new"; fi
}

remove_one() {
    for place in "$etc/${1##*/}.new" "$etc/${1##*/}"; do
        if is_ours "$place" "$1"; then
            rm "$place"
        elif is_there "$place"; then
            echo "$place was changed and is kept"
        fi
    done
}

if [ "$verb" = install ]; then
    mkdir -p "$etc" "$shipped"
fi
for file; do
    case $verb in
    install)
        install_one "$file"
        put "$file" "$shipped/${file##*/}"
        ;;
    remove)
        remove_one "$file"
        rm -f "$shipped/${file##*/}"
        ;;
    esac
done
