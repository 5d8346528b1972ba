#!/usr/bin/env bash
# The stress and reclamation tests under AddressSanitizer: uses after free, and leaks at exit.
# `RUSTC_BOOTSTRAP` lets the stable compiler take the one flag, for this command only.
set -euo pipefail
cd "$(dirname "$0")/.."

export RUSTC_BOOTSTRAP=1
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/asan"
export RUSTFLAGS="-Zsanitizer=address"
target=$(rustc -vV | sed -n 's/^host: //p')

cargo test --release -p ebtree --test stress --target "$target"
cargo test --release -p stktable --test table --target "$target"
# Some of these leak on purpose, to let threads end after the test.
ASAN_OPTIONS=detect_leaks=0 cargo test --release -p ebtree --test reclaim --target "$target"
