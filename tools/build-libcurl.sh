#!/bin/sh
# Builds a lean libcurl (HTTP/1.1, HTTP/2, TLS, proxies, unix sockets; static) from the distribution's patched source.
# usage: tools/build-libcurl.sh DIRECTORY
#
# DIRECTORY gets libcurl.a with nghttp2 inside; contents, which has name, version and licence of both; and include/, where
# libcurl.h names the source package and its patches too. Exits with 1, DIRECTORY untouched, where that source cannot be had, or
# a step takes longer than a machine four times slower than a small one would need for it.
#
# What is trusted: apt takes only a package index whose signature the distribution's archive keyring vouches for, and a
# .dsc with the digest in that index; dpkg-source takes only files with the digests in the .dsc. Nothing of the system's
# own apt configuration is changed: sources, index and downloads are in a folder of their own.
set -eu
target=$1
multiarch=$(dpkg-architecture -qDEB_HOST_MULTIARCH)
vendor=$(dpkg-vendor --query vendor)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/apt/state/lists/partial" "$work/apt/cache/archives/partial" "$work/source" "$work/result"

# step WHAT SECONDS COMMAND...
step() {
    what=$1 limit=$2 status=0
    shift 2
    timeout --foreground --kill-after=10 "$limit" "$@" >>"$work/log" 2>&1 </dev/null || status=$?
    case $status in
    0) return 0 ;;
    124 | 137) echo "build-libcurl.sh: $what: not done after $limit s" >&2 ;;
    *) tail -n 20 "$work/log" >&2; echo "build-libcurl.sh: $what: failed with status $status" >&2 ;;
    esac
    return 1
}

# apt with the folder's own sources; proxies, keys and host settings stay the system's.
private_apt() {
    what=$1 limit=$2
    shift 2
    step "$what" "$limit" apt-get -q -o Dir::State="$work/apt/state" -o Dir::Cache="$work/apt/cache" \
        -o Dir::State::status=/var/lib/dpkg/status \
        -o Dir::Etc::SourceList="$work/apt/sources.list" -o Dir::Etc::SourceParts=/dev/null \
        -o APT::Sandbox::User= -o Acquire::AllowInsecureRepositories=false -o Acquire::Languages=none \
        -o Acquire::Retries=3 -o Acquire::http::Timeout=30 "$@"
}

# The source lines that belong to the package lines that the system has from its distribution.
distribution_sources() {
    keyring=/usr/share/keyrings/$(printf '%s' "$vendor" | tr '[:upper:]' '[:lower:]')-archive-keyring.gpg
    signed=""
    [ ! -e "$keyring" ] || signed="[signed-by=$keyring] "
    apt-get indextargets --format "\$(ORIGIN) deb-src $signed\$(REPO_URI) \$(RELEASE) \$(COMPONENT)" 'Created-By: Packages' |
        awk -v vendor="$vendor" '$1 == vendor && $NF == "main" { sub(/^[^ ]* /, ""); print }' | sort -u
}

distribution_sources >"$work/apt/sources.list"
[ -s "$work/apt/sources.list" ] || { echo "apt has no package lists of $vendor; apt-get update brings them" >&2; exit 1; }
private_apt "fetching the index of sources" 120 update || true # one suite that fails is no harm while another has the source
(cd "$work/source" && private_apt "fetching curl's source" 120 source --only-source --download-only curl)
step "unpacking curl's source" 60 dpkg-source --no-copy -x "$work"/source/curl_*.dsc "$work/curl"
version=$(sed -n 's/^Version: //p' "$work"/source/curl_*.dsc | head -n 1)

cd "$work/curl"
# The last of the series only rename the library for other TLS libraries.
for patch in 99_nss 90_gnutls; do
    [ ! -e "debian/patches/$patch.patch" ] || step "taking out $patch.patch" 20 patch -R -p1 -i "debian/patches/$patch.patch"
done
patches=$(sed -e 's/#.*//' -e 's/[[:space:]].*//' -e '/^$/d' -e '/^90_gnutls\.patch$/d' -e '/^99_nss\.patch$/d' \
    -e 's/\.patch$//' debian/patches/series | tr '\n' ' ' | sed 's/ $//')
# Patches of the inputs of autoconf concern only what is left out below: its outputs count as newer.
find . \( -name aclocal.m4 -o -name configure -o -name Makefile.in -o -name curl_config.h.in \) -exec touch {} +

left_out="ftp file ldap ldaps rtsp dict telnet tftp pop3 imap smb smtp gopher mqtt ntlm ntlm-wb crypto-auth tls-srp alt-svc
    hsts cookies netrc doh mime progress-meter dateparse websockets headers-api manual libcurl-option get-easy-options
    dependency-tracking shared"
libraries_left_out="zlib brotli zstd libpsl libidn2 librtmp libssh2 libssh gssapi ldap-lib lber-lib hyper quiche ngtcp2 msh3
    ca-bundle ca-path"
set --
for feature in $left_out; do set -- "$@" "--disable-$feature"; done
for library in $libraries_left_out; do set -- "$@" "--without-$library"; done
# Certificates of authorities are where the system's OpenSSL looks for them, on each system at another place.
# arc4random asks for glibc 2.36; OpenSSL's generator is used anyway.
export CC="${CC:-clang}"
export CFLAGS="$(dpkg-buildflags --get CFLAGS) -g0 -fPIC -ffunction-sections -fdata-sections -ffile-prefix-map=$work/curl=curl"
export CPPFLAGS="$(dpkg-buildflags --get CPPFLAGS)"
step "configuring curl" 240 ./configure "$@" --prefix="$work/result" --enable-static --with-pic --with-openssl --with-nghttp2 --with-ca-fallback \
    --enable-threaded-resolver --enable-proxy --enable-unix-sockets --enable-ipv6 ac_cv_func_arc4random=no
step "compiling curl" 240 make -j "$(nproc)" -C lib
step "installing curl" 60 make -C lib install
step "installing curl" 60 make -C include install

cd "$work/result"
cat >include/libcurl.h <<EOF
// Written by tools/build-libcurl.sh.
#include "curl/curl.h"
#define LIBCURL_SOURCE "$vendor's curl $version, nghttp2 $(dpkg-query -W -f '${Version}' libnghttp2-dev)"
#define LIBCURL_PATCHES "$patches"
EOF
nghttp2=$(pkg-config --variable=libdir libnghttp2)/libnghttp2.a
printf 'create libboth.a\naddlib lib/libcurl.a\naddlib %s\nsave\nend\n' "$nghttp2" | ar -M
mv libboth.a lib/libcurl.a

# What was built links and says what it is.
cat >"$work/check.c" <<'EOF'
#include <libcurl.h>
#include <stdio.h>
int main(void) {
    CURL *handle = curl_easy_init();
    CURLM *multi = curl_multi_init();
    printf("%s, %s\n", curl_version(), LIBCURL_SOURCE);
    return !handle || !multi || curl_easy_perform(handle) != CURLE_URL_MALFORMAT;
}
EOF
step "linking with curl" 60 "$CC" -I include "$work/check.c" -o "$work/check" lib/libcurl.a -lssl -lcrypto
step "asking curl what it is" 20 "$work/check"
mkdir -p "$target"
printf 'curl %s curl\nnghttp2 %s MIT\n' "$version" "$(dpkg-query -W -f '${Version}' libnghttp2-dev)" >"$target/contents"
mv include "$target/"
mv lib/libcurl.a "$target/"
