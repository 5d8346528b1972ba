#!/usr/bin/env bash
# The README's first command, for a few seconds: it fails unless two nodes were equal at the end and entries
# expired on both.
set -euo pipefail
cd "$(dirname "$0")/.."

cargo run --release -- --demo --for 8s
