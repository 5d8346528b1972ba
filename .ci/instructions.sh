#!/usr/bin/env bash
# Instructions per operation against the recorded counts, which do not depend on how busy the machine is.
set -euo pipefail
cd "$(dirname "$0")/.."

if ! command -v valgrind >/dev/null; then
    sudo=
    [ "$(id -u)" = 0 ] || sudo=sudo
    if ! { $sudo apt-get update -qq &&
        DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends valgrind >/dev/null; }; then
        echo 'NOT CHECKED: instructions per operation (valgrind is not here and cannot be installed)'
        exit 0
    fi
fi
cargo run --release -p benches -- instructions
