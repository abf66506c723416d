#!/bin/sh
# A tar archive of a built agent for any Linux with systemd: the tree of all packages, and an installer.
# usage: tools/build-tarball.sh BINARY DIRECTORY; prints the archive's path
set -eu
binary=$(realpath "$1")
mkdir -p "$2"
target=$(realpath "$2")
cd "$(dirname "$0")/.."
. tools/package-values.sh
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

name=vault-token-agent-$("$binary" --version)-linux-$(architecture_of "$binary")
tools/stage-files.sh "$binary" "$work/$name/tree"
install -m 0755 deploy/tarball/install.sh "$work/$name/install.sh"
install -m 0644 LICENSE "$work/$name/LICENSE"
tar --create --directory "$work" --sort=name --owner=0 --group=0 --numeric-owner --format=gnu \
    --mtime="@$SOURCE_DATE_EPOCH" "$name" | gzip -9n >"$target/$name.tar.gz"
echo "$target/$name.tar.gz"
