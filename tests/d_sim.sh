#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# d_sim.sh: the first seeds of the simulator hold, one of them is the same
# history twice, and the bugs of tests/sim/plants can still be planted. ./dev sim
# runs as many more seeds as one likes. Run in the build directory.
# Timeout: 300 s
set -u
top=${srcdir:-$(dirname "$0")/..}
sim=tests/sim/margay-sim
# One thread, which looks into all members under the locks of one.
export TSAN_OPTIONS="${TSAN_OPTIONS-}${TSAN_OPTIONS:+:}detect_deadlocks=0"
[ -x "$sim" ] || { echo "d_sim.sh: no $sim in $PWD"; exit 99; }

"$sim" --seeds "${MARGAY_SIM_SEEDS:-200}" || exit 1

first=$("$sim" --seed 7) && second=$("$sim" --seed 7) || exit 1
[ "$first" = "$second" ] || {
    printf 'd_sim.sh: one seed, two histories:\n%s\n%s\n' "$first" "$second"
    exit 1
}

command -v patch >/dev/null || { echo "plants not tried: no patch"; exit 0; }
bad=0
for plant in "$top"/tests/sim/plants/*.patch; do
    patch -s -f -p1 -d "$top" --dry-run <"$plant" && continue
    echo "${plant##*/}: the code has moved on: plant it anew"
    bad=1
done
exit "$bad"
