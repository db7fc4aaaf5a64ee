#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# promises.sh: every statement of docs/promises.md has a test, and every test
# with a number its statement: "| 6 |" there is p06_... in tests/c_*.c.
set -u
LC_ALL=C
export LC_ALL
cd "${srcdir:-$(dirname "$0")/..}" || exit 99

stated=$(sed -n 's/^| \([0-9][0-9]*\) | .*/\1/p' docs/promises.md)
tested=$(sed -n 's/^    S(p\([0-9]*\)_.*/\1/p' tests/c_*.c |
    sed 's/^0*//' | sort -nu)
[ "$stated" ] && [ "$tested" ] || {
    echo "promises.sh: no statement or no test is found: is their form new?"
    exit 1
}

# missing NUMBERS AMONG: those of the first that the second has not.
missing() {
    for number in $1; do
        case " $(echo $2) " in
        *" $number "*) ;;
        *) printf ' %s' "$number" ;;
        esac
    done
}

bad=0
numbers=$(missing "$stated" "$tested")
[ "$numbers" ] && bad=1 && echo "docs/promises.md: without a test:$numbers"
numbers=$(missing "$tested" "$stated")
[ "$numbers" ] && bad=1 && echo "tests: without a statement:$numbers"
numbers=$(echo "$stated" | sort | uniq -d)
[ "$numbers" ] && bad=1 && echo "docs/promises.md: stated twice: $numbers"
exit $bad
