#!/bin/sh
# Builds a lean libcurl (HTTP/1.1, HTTP/2, TLS, proxies, unix sockets; static) from the distribution's patched source.
# usage: tools/build-libcurl.sh DIRECTORY
#
# DIRECTORY gets libcurl.a with nghttp2 inside; contents, which has name, version and licence of both; and headers/, where
# provenance.h declares functions that tell the source package and its patches. Exits with 1, DIRECTORY untouched, where that
# source cannot be had.
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

quietly() { "$@" >>"$work/log" 2>&1 || { tail -n 20 "$work/log" >&2; return 1; }; }

# apt with the folder's own sources; proxies, keys and host settings stay the system's.
private_apt() {
    apt-get -q -o Dir::State="$work/apt/state" -o Dir::Cache="$work/apt/cache" \
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
quietly private_apt update || true # one suite that fails is no harm while another has the source
(cd "$work/source" && quietly private_apt source --only-source --download-only curl)
quietly dpkg-source --no-copy -x "$work"/source/curl_*.dsc "$work/curl"
version=$(sed -n 's/^Version: //p' "$work"/source/curl_*.dsc | head -n 1)

cd "$work/curl"
# The last of the series only rename the library for other TLS libraries.
for patch in 99_nss 90_gnutls; do
    [ ! -e "debian/patches/$patch.patch" ] || quietly patch -R -p1 -i "debian/patches/$patch.patch"
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
quietly ./configure "$@" --prefix="$work/result" --enable-static --with-pic --with-openssl --with-nghttp2 --with-ca-fallback \
    --enable-threaded-resolver --enable-proxy --enable-unix-sockets --enable-ipv6 ac_cv_func_arc4random=no
quietly make -j "$(nproc)" -C lib
quietly make -C lib install
quietly make -C include install

cd "$work/result"
# In the archive, so that a program which names this source has this library inside.
cat >include/curl/provenance.h <<EOF
// Written by tools/build-libcurl.sh: the source that libcurl was built from, and the patches on it.
const char *vta_libcurl_source(void);
const char *vta_libcurl_patches(void);
EOF
cat >"$work/provenance.c" <<EOF
#include "result/include/curl/provenance.h"
const char *vta_libcurl_source(void) { return "$vendor's curl $version, nghttp2 $(dpkg-query -W -f '${Version}' libnghttp2-dev)"; }
const char *vta_libcurl_patches(void) { return "$patches"; }
EOF
quietly "$CC" $CFLAGS -c "$work/provenance.c" -o "$work/provenance.o"
nghttp2=$(pkg-config --variable=libdir libnghttp2)/libnghttp2.a
printf 'create libboth.a\naddlib lib/libcurl.a\naddlib %s\naddmod %s\nsave\nend\n' "$nghttp2" "$work/provenance.o" | quietly ar -M
mv libboth.a lib/libcurl.a

# What was built links and says what it is.
cat >"$work/check.c" <<'EOF'
#include <curl/curl.h>
#include <curl/provenance.h>
#include <stdio.h>
int main(void) {
    CURL *handle = curl_easy_init();
    CURLM *multi = curl_multi_init();
    printf("%s, %s\n", curl_version(), vta_libcurl_source());
    return !handle || !multi || curl_easy_perform(handle) != CURLE_URL_MALFORMAT;
}
EOF
quietly "$CC" -I include "$work/check.c" -o "$work/check" lib/libcurl.a -lssl -lcrypto
quietly "$work/check"
mkdir -p "$target"
printf 'curl %s curl\nnghttp2 %s MIT\n' "$version" "$(dpkg-query -W -f '${Version}' libnghttp2-dev)" >"$target/contents"
mv include/curl "$target/headers"
mv lib/libcurl.a "$target/"
