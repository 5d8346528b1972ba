#!/usr/bin/env bash
# ask.sh PORT COMMAND PATTERN: asks a runtime API, ours or HAProxy's, until its answer matches, for 20 s at most. Shows the last answer if it never did.
set -u
port=$1 command=$2 pattern=$3
answer='nobody answers'
for _ in {1..200}; do
    if said=$( (exec 3<>"/dev/tcp/127.0.0.1/$port" && printf '%s\n' "$command" >&3 && cat <&3) 2>/dev/null); then
        answer=$said
        grep -Eq -- "$pattern" <<<"$answer" && exit 0
    fi
    sleep 0.1
done
printf 'never matched: %s\n%s\n' "$pattern" "$answer"
exit 1
