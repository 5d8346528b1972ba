#!/usr/bin/env bash
# The tests, doc tests among them, and those against a real HAProxy and in a real browser: the README's command.
set -euo pipefail
cd "$(dirname "$0")/.."

# Here a missing HAProxy, varnishtest or chromium is an error, not a reason to pass by.
export STKTABLED_REQUIRE_HAPROXY=1 STKTABLED_REQUIRE_VARNISHTEST=1 STKTABLED_REQUIRE_CHROMIUM=1
# Many tests wait for other processes, so there is room for more of them than there are cores.
RUST_TEST_THREADS=$(($(nproc) * 2)) cargo test --workspace

# What is off by default.
cargo test -p ebtree --all-features --lib --test serde --test reclaimers

# The layout for targets whose pointers have no bits to spare.
CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/plain" RUSTFLAGS="--cfg ebtree_plain_edges" \
    cargo test -p ebtree --lib --test model --test stress --test reclaim --test linearize
