#!/bin/bash
# Three HAProxies, and stktabled which adds up what they count: a client that no one of them would refuse is refused by each.
#
#   integration/examples/aggregate/run.sh [STKTABLED]
#
# Without a program it is built. Needs haproxy and curl. Everything listens on the loopback, and ends with the script.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
stktabled=${1:-}
if [ -z "$stktabled" ]; then
    cargo build --release --bin stktabled --manifest-path "$here/../../Cargo.toml"
    target=$(cargo metadata --no-deps --format-version 1 --manifest-path "$here/../../Cargo.toml" |
        sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
    stktabled=$target/release/stktabled
fi
work=$(mktemp -d)
started=()
finish() {
    for pid in "${started[@]}"; do kill "$pid" 2>/dev/null || true; done
    wait 2>/dev/null || true
    rm -rf "$work"
}
trap finish EXIT

# A port that nobody listens on, as far as one can know.
port() {
    local port
    while :; do
        port=$((20000 + RANDOM % 20000))
        (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || { echo "$port"; return; }
    done
}

API=$(port)
export SUM PORT1 PORT2 PORT3
SUM=$(port) PORT1=$(port) PORT2=$(port) PORT3=$(port)
web=()
ports=("$PORT1" "$PORT2" "$PORT3")
for n in 1 2 3; do
    web[n]=$(port)
    NAME=web$n PORT=${ports[n - 1]} WEB=${web[n]} SOCKET=$work/web$n.sock \
        haproxy -db -L "web$n" -f "$here/haproxy.cfg" >"$work/web$n.log" 2>&1 &
    started+=($!)
done
"$stktabled" -f "$here/stktabled.cfg" --runtime-api "127.0.0.1:$API" >"$work/sum.log" 2>&1 &
sum=$!
started+=("$sum")

# What a process answers a request with: its status, what it has counted of us, what all have, and whether that is whole.
get() { curl -s --max-time 5 -w '%{http_code}\n' "http://127.0.0.1:${web[$1]}/" | tr '\n' ' '; }
ask() {
    exec 3<>"/dev/tcp/127.0.0.1/$API"
    echo "$1" >&3
    timeout 5 cat <&3
    exec 3>&-
}

# Waits until a command says something, for 30 s at most.
until_says() {
    local what=$1
    shift
    for _ in $(seq 150); do
        said=$("$@" 2>/dev/null || true)
        if [[ $said =~ $what ]]; then return; fi
        sleep 0.2
    done
    echo "not in 30 s: $* to say $what, but: $said" >&2
    tail -n 20 "$work"/*.log >&2
    exit 1
}

until_says 'complete=1 sources_in=3' ask 'show aggregate'
for n in 1 2 3; do until_says 'whole=1' get $n; done

echo "== 25 requests at each of three: none has seen the 61 in 10 s from which on it refuses a client, all together have"
for n in 1 2 3; do
    for _ in $(seq 25); do get $n >/dev/null; done
done
for n in 1 2 3; do
    until_says '429' get $n
    echo "web$n: $said"
done

echo "== stktabled says"
ask 'show aggregate'

echo "== stktabled is gone: within 2 s each limits by what it has counted itself"
kill "$sum"
for n in 1 2 3; do
    until_says 'here=.* 200' get $n
    echo "web$n: $said"
done
echo "== done"
