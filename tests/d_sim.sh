#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# d_sim.sh: the first seeds of the simulator hold, and one of them is the same
# history twice. ./dev sim runs as many more as one likes. Run in the build
# directory.
# Timeout: 300 s
set -u
sim=tests/sim/margay-sim
[ -x "$sim" ] || { echo "d_sim.sh: no $sim in $PWD"; exit 99; }

"$sim" --seeds "${MARGAY_SIM_SEEDS:-200}" || exit 1

first=$("$sim" --seed 7) && second=$("$sim" --seed 7) || exit 1
[ "$first" = "$second" ] || {
    printf 'd_sim.sh: one seed, two histories:\n%s\n%s\n' "$first" "$second"
    exit 1
}
