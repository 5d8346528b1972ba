#!/usr/bin/env bash
# The stress tests under ThreadSanitizer. The standard library is not instrumented, and fences are not understood:
# it finds unordered plain accesses and publications without release, nothing about fences.
set -euo pipefail
cd "$(dirname "$0")/.."

export RUSTC_BOOTSTRAP=1
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/tsan"
export RUSTFLAGS="-Zsanitizer=thread -Cunsafe-allow-abi-mismatch=sanitizer"
export TSAN_OPTIONS="suppressions=$PWD/.ci/tsan.supp"
target=$(rustc -vV | sed -n 's/^host: //p')

# One test at a time, which libtest runs on its own thread: its hand-over between threads is reported otherwise.
# Not `reclaim`: it drops domains and scopes at once, whose order is that of fences in the standard library.
cargo test --release -p ebtree --test stress --test linearize --test prefix_stress --test changes \
    --target "$target" -- --test-threads=1
cargo test --release -p ebtree --test batch --test scan --test fan_out --test multi --target "$target" -- \
    --test-threads=1 what_stays a_walk queues
cargo test --release -p stktable --test table --target "$target" -- the_size_is_never_exceeded
