#!/usr/bin/env bash
# The stress and reclamation tests under AddressSanitizer: uses after free, and leaks at exit.
# Without the pool, which would hide both.
# `RUSTC_BOOTSTRAP` lets the stable compiler take the one flag, for this command only.
set -euo pipefail
cd "$(dirname "$0")/.."

export RUSTC_BOOTSTRAP=1
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/asan"
export RUSTFLAGS="-Zsanitizer=address --cfg ebtree_no_pool"
target=$(rustc -vV | sed -n 's/^host: //p')

# One test keeps objects for good, as it must: its barrier fails.
cargo test --release -p ebtree --test stress --test linearize --test reclaim --test panics \
    --test walks --test changes --test scan --test batch --test prefix_stress --target "$target" -- \
    --skip nothing_is_freed_when_the_barrier_fails
cargo test --release -p ebtree --all-features --test reclaimers --target "$target" -- --skip leak::
cargo test --release -p stktable --test table --test bounds --test scan --test prefix --test server_key --test churn --target "$target"
