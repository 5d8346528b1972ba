#!/usr/bin/env bash
# Makes a Debian package: the program, its unit, manual page, completions, and a configuration that an upgrade leaves alone.
#
#   packaging/deb.sh STKTABLED FOLDER
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
program=$1
folder=$2
version=$("$program" --version | awk '{print $2}')
architecture=$(dpkg --print-architecture)
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
chmod 755 "$root"

put() { install -D -m "$1" "$2" "$root/$3"; }
made() { mkdir -p "$(dirname "$root/$1")" && cat >"$root/$1" && chmod 644 "$root/$1"; }

put 755 "$program" usr/bin/stktabled
strip --strip-unneeded "$root/usr/bin/stktabled"
put 644 "$here/stktabled.service" lib/systemd/system/stktabled.service
put 644 "$here/stktabled.socket" lib/systemd/system/stktabled.socket
put 644 "$here/debian/stktabled.cfg" etc/stktabled/stktabled.cfg
put 644 "$here/grafana.json" usr/share/stktabled/grafana.json
put 644 "$here/../LICENSE-MIT" usr/share/doc/stktabled/LICENSE-MIT
put 644 "$here/../LICENSE-APACHE" usr/share/doc/stktabled/LICENSE-APACHE
"$program" --man | gzip -9n | made usr/share/man/man1/stktabled.1.gz
gzip -9nc "$here/../CHANGELOG.md" | made usr/share/doc/stktabled/changelog.gz
"$program" --completions bash | made usr/share/bash-completion/completions/stktabled
"$program" --completions zsh | made usr/share/zsh/vendor-completions/_stktabled
"$program" --completions fish | made usr/share/fish/vendor_completions.d/stktabled.fish
made usr/share/doc/stktabled/copyright <<'TEXT'
License: MIT or Apache-2.0, as the two files beside this one say.
TEXT

echo /etc/stktabled/stktabled.cfg | made DEBIAN/conffiles
made DEBIAN/control <<TEXT
Package: stktabled
Version: $version
Architecture: $architecture
Section: net
Priority: optional
Maintainer: The stktable developers <maintainers@stktable.invalid>
Depends: libc6 (>= 2.34), libgcc-s1
Suggests: haproxy
Installed-Size: $(du -sk --exclude=DEBIAN "$root" | cut -f1)
Description: stick tables shared with HAProxy
 Keeps HAProxy's stick tables, shares them with HAProxy over its own peers
 protocol, and adds up what several of them count. Speaks HAProxy's runtime
 API, keeps its tables over restarts, and tells Prometheus how it is.
TEXT
# The unit takes a user of its own for as long as it runs; nothing is started before it is configured.
made DEBIAN/postinst <<'TEXT'
#!/bin/sh
set -e
if [ "$1" = configure ] && [ -d /run/systemd/system ]; then
    systemctl daemon-reload
    systemctl try-restart stktabled.service
fi
TEXT
made DEBIAN/prerm <<'TEXT'
#!/bin/sh
set -e
if [ "$1" = remove ] && [ -d /run/systemd/system ]; then
    systemctl disable --now stktabled.service
fi
TEXT
made DEBIAN/postrm <<'TEXT'
#!/bin/sh
set -e
if [ -d /run/systemd/system ]; then
    systemctl daemon-reload
fi
if [ "$1" = purge ]; then
    rm -rf /var/lib/private/stktabled /var/lib/stktabled /etc/stktabled
fi
TEXT
chmod 755 "$root"/DEBIAN/p*

mkdir -p "$folder"
package=$folder/stktabled_${version}_$architecture.deb
dpkg-deb --root-owner-group -Zxz --build "$root" "$package" >/dev/null
echo "$package"
