#!/bin/sh
# Makes .libraries: those that the agent has inside, for debug and release builds alike.
# usage: tools/prepare-libraries.sh [--anew]
#
#   include/curl/                headers of libcurl, and provenance.h
#   lib/libcurl-chosen.a         a lean static libcurl, by tools/build-libcurl.sh
#   lib/libexpat-chosen.a        the system's static expat
#
# Where a static one cannot be had, lib*-chosen.so takes its place, which has the linker take the system's shared one.
# Does nothing while what is there was made by these scripts beside the system's present libraries; --anew makes it in any
# case, from the newest source. After a failure it tries again an hour later.
set -eu
cd "$(dirname "$0")/.."
here=$PWD/.libraries
mkdir -p "$here/lib" "$here/include"
exec 9>"$here/lock"
flock 9

say() { printf 'setup: %s\n' "$*"; }
# An upgrade of the system's libraries is when their lean likeness may need its patches too.
wanted=$( {
    cat tools/prepare-libraries.sh tools/build-libcurl.sh
    dpkg-query -W libcurl4-openssl-dev libssl-dev libnghttp2-dev libexpat1-dev 2>&1 || true
} | sha256sum)
[ "${1:-}" != --anew ] || rm -f "$here/made"
if [ "$(cat "$here/made" 2>/dev/null || true)" = "$wanted" ]; then
    if [ -e "$here/lib/libcurl-chosen.a" ] || [ -z "$(find "$here/made" -mmin +60)" ]; then exit 0; fi
fi

shared() { printf 'INPUT(-l%s)\n' "$1" >"$here/lib/lib$1-chosen.so"; }
rm -rf "$here/made" "$here/include/curl" "$here/lib"
mkdir -p "$here/lib" "$here/include"

say "building a lean libcurl from the distribution's source"
rm -rf "$here/new"
if command -v dpkg-source >/dev/null 2>&1 && tools/build-libcurl.sh "$here/new"; then
    mv "$here/new/headers" "$here/include/curl"
    mv "$here/new/libcurl.a" "$here/lib/libcurl-chosen.a"
else
    say "no lean libcurl: the system's shared libcurl takes its place, and its 30 libraries with it"
    shared curl
    mkdir -p "$here/include/curl"
    cat >"$here/include/curl/provenance.h" <<'EOF'
// Written by tools/prepare-libraries.sh: libcurl is the system's shared one.
static inline const char *vta_libcurl_source(void) { return "the system's shared library"; }
static inline const char *vta_libcurl_patches(void) { return ""; }
EOF
fi
rm -rf "$here/new"
expat=$(pkg-config --variable=libdir expat)/libexpat.a
if [ -e "$expat" ]; then cp "$expat" "$here/lib/libexpat-chosen.a"; else shared expat; fi
printf '%s\n' "$wanted" >"$here/made"
