#!/bin/sh
# The long walk: tests/walk.sh [steps] [seed], some 30 minutes on one core. Prints
# its seed; an epoch that fails prints the seed and the steps that replay it alone.
set -eu
cd "$(dirname "$0")/.."
export FLAMBEAU_WALK_STEPS="${1:-100000}"
export FLAMBEAU_WALK_SEED="${2:-$(date +%s)}"
exec cargo test --release -p flambeau-tests --test faults_walk -- --nocapture
