#!/usr/bin/env bash
# Formatting, lints and documentation, all of them errors.
set -euo pipefail
cd "$(dirname "$0")/.."

cargo fmt --all -- --check
cargo clippy --workspace --exclude benches --all-targets --all-features -- -D warnings
cargo clippy -p benches --all-targets -- -D warnings
# An embedder takes the library without the daemon.
cargo clippy -p stktable-integration --lib --no-default-features -- -D warnings
cargo clippy -p stktable-integration --lib --no-default-features --features tower -- -D warnings
export RUSTDOCFLAGS="-D warnings"
cargo doc --workspace --exclude benches --all-features --no-deps
cargo doc -p benches --no-deps

# The units, with a program in its place that is there.
if command -v systemd-analyze >/dev/null; then
    folder=$(mktemp -d)
    sed 's|/usr/bin/stktabled|/bin/true|' packaging/stktabled.service >"$folder/stktabled.service"
    cp packaging/stktabled.socket "$folder"
    systemd-analyze verify "$folder/stktabled.service" "$folder/stktabled.socket"
    rm -r "$folder"
else
    echo 'not checked: the systemd units (no systemd-analyze)'
fi
