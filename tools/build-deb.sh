#!/bin/sh
# A Debian package of a built agent, with Debian's plain tools.
# usage: tools/build-deb.sh BINARY DIRECTORY [OPTION-OF-DPKG-SHLIBDEPS...]; prints the package's path
#
# The same binary and sources make the same package, byte by byte. DEB_VERSION, DEBFULLNAME and DEBEMAIL stand above the
# defaults.
set -eu
binary=$(realpath "$1")
mkdir -p "$2"
target=$(realpath "$2")
shift 2
cd "$(dirname "$0")/.."
. tools/package-values.sh

version=${DEB_VERSION:-$("$binary" --version)-1}
case $(architecture_of "$binary") in x86_64) architecture=amd64 ;; aarch64) architecture=arm64 ;; esac
maintainer="${DEBFULLNAME:-vault-token-agent} <${DEBEMAIL:-vault-token-agent@localhost}>"
package=$target/vault-token-agent_${version}_$architecture.deb

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/root
documents=$root/usr/share/doc/vault-token-agent
tools/stage-files.sh "$binary" "$root"
# Where Debian has these.
mkdir -p "$root/lib/systemd"
mv "$root/usr/lib/systemd/system" "$root/lib/systemd/system"
rmdir "$root/usr/lib/systemd"
mv "$root/usr/share/zsh/site-functions" "$root/usr/share/zsh/vendor-completions"
rm "$documents/LICENSE" # copyright says where Debian has it
install -m 0644 deploy/debian/copyright "$documents/copyright"
gzip -9n >"$documents/changelog.Debian.gz" <<EOF
vault-token-agent ($version) unstable; urgency=medium

  * Built from the sources; changelog.gz says what changed.

 -- $maintainer  $(date -u -R -d "@$SOURCE_DATE_EPOCH")
EOF

mkdir "$root/DEBIAN"
for script in postinst prerm postrm; do install -m 0755 "deploy/debian/$script" "$root/DEBIAN/$script"; done
(cd "$root" && find usr lib -type f -print0 | sort -z | xargs -0 md5sum) >"$root/DEBIAN/md5sums"
# dpkg-shlibdeps insists on a source package around it.
mkdir "$work/debian"
: >"$work/debian/control"
depends=$(cd "$work" && dpkg-shlibdeps -O "$@" "$root/usr/bin/vault-token-agent" | sed 's/^shlibs:Depends=//')
size=$(du -sk --apparent-size "$root" | cut -f1)
sed -e "s|@VERSION@|$version|" -e "s|@ARCHITECTURE@|$architecture|" -e "s|@MAINTAINER@|$maintainer|" \
    -e "s|@DEPENDS@|$depends|" -e "s|@SIZE@|$size|" -e "s|@SUMMARY@|$(described summary)|" deploy/debian/control \
    >"$root/DEBIAN/control"
described description | fold -s -w 78 | sed -e 's/ *$//' -e 's/^/ /' >>"$root/DEBIAN/control"

dpkg-deb --root-owner-group --uniform-compression -Zxz --build "$root" "$package" >/dev/null
echo "$package"
