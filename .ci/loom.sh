#!/usr/bin/env bash
# The loom models and their mutants: every interleaving of a few threads, up to a number of preemptions.
#   LOOM_MAX_PREEMPTIONS=3 .ci/loom.sh      a longer run
#   LOOM_THREE_PREEMPTIONS=2 .ci/loom.sh    the same for the tree's models of three threads
#   SHUTTLE_SCHEDULES=100000 .ci/loom.sh    more random schedules of longer scenarios
set -euo pipefail
cd "$(dirname "$0")/.."

# A folder of its own: other flags would rebuild everything.
base="${CARGO_TARGET_DIR:-target}/loom"
export CARGO_TARGET_DIR="$base"
export RUSTFLAGS="--cfg loom"
export LOOM_MAX_PREEMPTIONS="${LOOM_MAX_PREEMPTIONS:-2}"
export LOOM_THREE_PREEMPTIONS="${LOOM_THREE_PREEMPTIONS:-1}"
export LOOM_MAX_BRANCHES="${LOOM_MAX_BRANCHES:-10000}"
# A mutant is expected to panic; its backtraces say nothing and take long.
export RUST_BACKTRACE=0

cargo test --release -p ebtree --test loom --lib
cargo test --release -p stktable --test loom

# The tree again, with positions in the nodes instead of in the edges.
export RUSTFLAGS="--cfg loom --cfg ebtree_plain_edges"
export CARGO_TARGET_DIR="$base/plain"
cargo test --release -p ebtree --test loom --lib

# Longer scenarios, in schedules drawn at random.
export CARGO_TARGET_DIR="$base/shuttle"
RUSTFLAGS="--cfg loom --cfg shuttle" SHUTTLE_SCHEDULES="${SHUTTLE_SCHEDULES:-2000}" \
    cargo test --release -p ebtree --test shuttle
