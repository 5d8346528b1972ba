#!/usr/bin/env bash
# The tests, doc tests among them, and those against a real HAProxy: the README's command.
set -euo pipefail
cd "$(dirname "$0")/.."

# Here a missing HAProxy is an error, not a reason to pass by.
export STKTABLED_REQUIRE_HAPROXY=1
cargo test --workspace
