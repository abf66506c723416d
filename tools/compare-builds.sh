#!/bin/sh
# Builds the last commit in a folder of its own, its libraries too, and compares that with a binary that was built here.
# usage: tools/compare-builds.sh BINARY
set -eu
binary=$(realpath "$1")
cd "$(dirname "$0")/.."
other=$(mktemp -d)
trap 'rm -rf "$other"' EXIT
git clone --quiet . "$other/elsewhere"
"$other/elsewhere/tools/prepare-libraries.sh"
make -C "$other/elsewhere" binary >/dev/null
sha256sum "$binary" "$other/elsewhere/out/vault-token-agent"
cmp "$binary" "$other/elsewhere/out/vault-token-agent"
