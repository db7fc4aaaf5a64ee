#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# plants.sh: the bugs that the simulator has to find (tests/sim/plants) still
# fit the source; ./dev sim --plant NAME plants one.
set -u
top=${srcdir:-$(dirname "$0")/..}
command -v patch >/dev/null || {
    echo "plants.sh: no patch here: apt-get install patch"
    exit 77
}
cd "$top" || exit 99

bad=0
for patch in tests/sim/plants/*.patch; do
    said=$(patch --dry-run -f -p1 <"$patch" 2>&1) && continue
    echo "$patch: does not fit the source any more: $said"
    echo "  plant the bug anew: change the source," \
        "git diff managers session >$patch, and change it back"
    bad=$((bad + 1))
done
[ "$bad" -eq 0 ]
