#!/bin/sh
# Makes .libraries: those that the agent has inside, for debug and release builds alike.
# usage: tools/prepare-libraries.sh [--anew]
#
#   include/libcurl.h            what to include of libcurl; names its source and its patches
#   lib/libcurl-chosen.a         a lean static libcurl, by tools/build-libcurl.sh
#   lib/libexpat-chosen.a        the system's static expat
#   release/                     for release builds alone: the compiler's static libstdc++, and a stand-in for
#                                FoundationEssentials, of which swift-argument-parser uses a few names, and functions
#                                that glibc 2.34 does not have
#   contents                     what these are, a line each: name, version, licence
#
# Where a static one cannot be had, lib*-chosen.so takes its place, which has the linker take the system's shared one.
# Does nothing while what is there was made by these scripts beside the system's present libraries; --anew makes it in any
# case, from the newest source. After a failure it tries again an hour later.
set -eu
cd "$(dirname "$0")/.."
here=$PWD/.libraries
mkdir -p "$here"
exec 9>"$here/lock"
flock 9

say() { printf 'setup: %s\n' "$*"; }
# An upgrade of the system's libraries is when their lean likeness may need its patches too.
wanted=$( {
    cat tools/prepare-libraries.sh tools/build-libcurl.sh tools/FoundationStandIn/*.swift tools/compatibility.c
    swiftc --version 2>&1
    dpkg-query -W libcurl4-openssl-dev libssl-dev libnghttp2-dev libexpat1-dev 2>&1 || true
} | sha256sum)
[ "${1:-}" != --anew ] || rm -f "$here/made"
if [ "$(cat "$here/made" 2>/dev/null || true)" = "$wanted" ]; then
    if [ -e "$here/lib/libcurl-chosen.a" ] || [ -z "$(find "$here/made" -mmin +60)" ]; then exit 0; fi
fi

shared() { printf 'INPUT(-l%s)\n' "$1" >"$here/lib/lib$1-chosen.so"; }
say "building a lean libcurl from the distribution's source"
rm -rf "$here/new"
built=no
if command -v dpkg-source >/dev/null 2>&1 && tools/build-libcurl.sh "$here/new"; then built=yes; fi

# What was there served until now.
rm -rf "$here/made" "$here/include" "$here/lib" "$here/release"
mkdir -p "$here/lib" "$here/release"
if [ "$built" = yes ]; then
    mv "$here/new/include" "$here/include"
    mv "$here/new/contents" "$here/contents"
    mv "$here/new/libcurl.a" "$here/lib/libcurl-chosen.a"
else
    say "no lean libcurl: the system's shared libcurl takes its place, and its 30 libraries with it"
    shared curl
    mkdir -p "$here/include"
    : >"$here/contents"
    cat >"$here/include/libcurl.h" <<'EOF'
// Written by tools/prepare-libraries.sh: libcurl is the system's shared one.
#include <curl/curl.h>
#define LIBCURL_SOURCE "the system's shared library"
#define LIBCURL_PATCHES ""
EOF
fi
rm -rf "$here/new"
expat=$(pkg-config --variable=libdir expat)/libexpat.a
if [ -e "$expat" ]; then cp "$expat" "$here/lib/libexpat-chosen.a"; else shared expat; fi

cp "$(clang -print-file-name=libstdc++.a)" "$here/release/"
clang -O2 -fPIC -fno-builtin -ffunction-sections -fstack-protector-strong -c tools/compatibility.c -o "$here/release/compatibility.o"
# By names without this folder: the object bears a digest of the compiler's arguments.
(
    cd "$here/release"
    swiftc -O -parse-as-library -static -c -emit-module -module-name FoundationEssentials \
        -module-link-name FoundationStandIn -o FoundationStandIn.o ../../tools/FoundationStandIn/FoundationEssentials.swift
    ar rcsD libFoundationStandIn.a FoundationStandIn.o
    rm FoundationStandIn.o
)

{
    [ ! -e "$here/lib/libexpat-chosen.a" ] || echo "expat $(pkg-config --modversion expat) MIT"
    echo "libstdc++ $(dpkg-query -W -f '${Version}' "$(dpkg-query -S "$(realpath "$(clang -print-file-name=libstdc++.a)")" | cut -d: -f1)") GPL-3.0-with-GCC-exception"
} >>"$here/contents"
printf '%s\n' "$wanted" >"$here/made"
