#!/bin/sh
# Puts a built agent and what belongs to it into a Debian package, with Debian's plain tools.
# usage: tools/build-deb.sh BINARY DIRECTORY [OPTION-OF-DPKG-SHLIBDEPS...]; prints the package's path
#
# The same binary and sources make the same package, byte by byte: times are those of SOURCE_DATE_EPOCH, or of the last commit.
# DEB_VERSION, DEBFULLNAME and DEBEMAIL stand above the defaults.
set -eu
binary=$(realpath "$1")
mkdir -p "$2"
target=$(realpath "$2")
shift 2
cd "$(dirname "$0")/.."
umask 022

SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || stat -c %Y CHANGELOG.md)}
export SOURCE_DATE_EPOCH
export SWIFT_BACKTRACE=enable=no
version=${DEB_VERSION:-$("$binary" --version)-1}
architecture=$(dpkg --print-architecture)
maintainer="${DEBFULLNAME:-vault-token-agent} <${DEBEMAIL:-vault-token-agent@localhost}>"
package=$target/vault-token-agent_${version}_$architecture.deb

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/root
share=$root/usr/share
documents=$share/doc/vault-token-agent
mkdir -p "$root/DEBIAN" "$root/etc/vault-token-agent"
put() { install -D -m 0644 "$1" "$2"; }
zipped() { mkdir -p "$(dirname "$1")" && gzip -9n >"$1" && chmod 0644 "$1"; }

install -D -m 0755 "$binary" "$root/usr/bin/vault-token-agent"
for unit in vault-token-agent.service vault-token-agent@.service; do
    put "deploy/systemd/$unit" "$root/lib/systemd/system/$unit"
done
put deploy/systemd/vault-token-agent.sysusers "$root/usr/lib/sysusers.d/vault-token-agent.conf"
zipped "$share/man/man8/vault-token-agent.8.gz" <docs/man/vault-token-agent.8
zipped "$share/man/man5/vault-token-agent.json.5.gz" <docs/man/vault-token-agent.json.5

completions() { mkdir -p "$(dirname "$2")" && "$binary" --generate-completion-script "$1" | sed '1{/^#!/d}' >"$2"; }
completions bash "$share/bash-completion/completions/vault-token-agent"
completions zsh "$share/zsh/vendor-completions/_vault-token-agent"
completions fish "$share/fish/vendor_completions.d/vault-token-agent.fish"

put deploy/config.schema.json "$share/vault-token-agent/config.schema.json"
for file in docs/*.md deploy/debian/copyright; do put "$file" "$documents/$(basename "$file")"; done
for file in deploy/systemd/dynamic-user.conf deploy/systemd/example-consumer* deploy/systemd/vault-token-agent.rules \
    deploy/monitoring/*; do
    put "$file" "$documents/examples/$(basename "$file")"
done
sed 's,"deploy/config,"/usr/share/vault-token-agent/config,' config.example.json >"$documents/examples/config.json"
zipped "$documents/changelog.gz" <CHANGELOG.md
zipped "$documents/changelog.Debian.gz" <<EOF
vault-token-agent ($version) unstable; urgency=medium

  * Built from the sources; changelog.gz says what changed.

 -- $maintainer  $(date -u -R -d "@$SOURCE_DATE_EPOCH")
EOF

for script in postinst prerm postrm; do install -m 0755 "deploy/debian/$script" "$root/DEBIAN/$script"; done
(cd "$root" && find usr lib -type f -print0 | LC_ALL=C sort -z | xargs -0 md5sum) >"$root/DEBIAN/md5sums"
# dpkg-shlibdeps insists on a source package around it.
mkdir "$work/debian"
: >"$work/debian/control"
depends=$(cd "$work" && dpkg-shlibdeps -O "$@" "$root/usr/bin/vault-token-agent" | sed 's/^shlibs:Depends=//')
size=$(du -sk --apparent-size "$root" | cut -f1)
sed -e "s|@VERSION@|$version|" -e "s|@ARCHITECTURE@|$architecture|" -e "s|@MAINTAINER@|$maintainer|" \
    -e "s|@DEPENDS@|$depends|" -e "s|@SIZE@|$size|" deploy/debian/control >"$root/DEBIAN/control"

dpkg-deb --root-owner-group --uniform-compression -Zxz --build "$root" "$package" >/dev/null
echo "$package"
