#!/usr/bin/env bash
# The Debian package: made, installed, used and purged; without the rights for that, taken apart and used.
set -euo pipefail
cd "$(dirname "$0")/.."

if ! command -v dpkg-deb >/dev/null; then
    echo "SKIPPED: no dpkg-deb here; the package was not made"
    exit 0
fi
cargo build --release --locked --bin stktabled
target=$(cargo metadata --no-deps --format-version 1 | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
package=$(packaging/deb.sh "$target/release/stktabled" "$work")
dpkg-deb --info "$package" | grep -E '^ (Package|Version|Architecture|Depends):'

check() {
    "$1/usr/bin/stktabled" -c -f "$1/etc/stktabled/stktabled.cfg"
    "$1/usr/bin/stktabled" --version
    for file in lib/systemd/system/stktabled.service usr/share/man/man1/stktabled.1.gz \
        usr/share/bash-completion/completions/stktabled usr/share/stktabled/grafana.json; do
        [ -s "$1/$file" ] || { echo "missing: $file"; exit 1; }
    done
    gzip -dc "$1/usr/share/man/man1/stktabled.1.gz" | grep -q runtime
}

mkdir "$work/root"
dpkg-deb --extract "$package" "$work/root"
check "$work/root"
if [ "$(id -u)" = 0 ] && ! dpkg -s stktabled >/dev/null 2>&1; then
    dpkg -i "$package" >/dev/null
    trap 'dpkg -P stktabled >/dev/null 2>&1 || true; rm -rf "$work"' EXIT
    check ""
    # What an operator changed is not written over.
    echo '# ours' >>/etc/stktabled/stktabled.cfg
    dpkg -i --force-confdef "$package" >/dev/null
    grep -q '^# ours$' /etc/stktabled/stktabled.cfg
    dpkg -P stktabled >/dev/null
    [ ! -e /usr/bin/stktabled ] && [ ! -e /etc/stktabled ]
    echo "installed, upgraded, and purged"
else
    echo "SKIPPED: no rights to install, or it is installed already; the package was taken apart only"
fi
