#!/bin/sh
# The root file system of the container image: a built agent, exactly the shared libraries that it needs, certificates of
# authorities, and the files that name its user.
# usage: tools/build-rootfs.sh BINARY DIRECTORY
set -eu
binary=$(realpath "$1")
mkdir -p "$2"
root=$(realpath "$2")
cd "$(dirname "$0")/.."
umask 022

install -D -m 0755 "$binary" "$root/usr/bin/vault-token-agent"
# Each under the name by which the loader looks for it, the loader itself at its fixed place.
ldd "$binary" | awk '$2 == "=>" && $3 ~ "^/" { print $3 } $1 ~ "^/" { print $1 }' | while read -r library; do
    install -D -m 0755 "$(realpath "$library")" "$root$library"
done
# Where OpenSSL looks for authorities on the system that its library is from.
certificates=$(openssl version -d | sed 's/.*"\(.*\)"/\1/')/certs
mkdir -p "$root/etc/ssl" "$(dirname "$root$certificates")"
cp -rL /etc/ssl/certs "$root/etc/ssl/certs"
rm -f "$root/etc/ssl/certs/ca-certificates.crt" # the same once more, in one file
[ "$certificates" = /etc/ssl/certs ] || ln -s /etc/ssl/certs "$root$certificates"
for folder in etc/vault-token-agent run/vault-token-agent tmp proc dev sys; do mkdir -p "$root/$folder"; done
install -d -m 0700 "$root/var/lib/vault-token-agent"
cat >"$root/etc/passwd" <<'EOF'
root:x:0:0:root:/:/sbin/nologin
vault-token-agent:x:10001:10001:Keeps Vault tokens fresh:/nonexistent:/sbin/nologin
EOF
printf 'root:x:0:\nvault-token-agent:x:10001:\n' >"$root/etc/group"
printf 'hosts: files dns\n' >"$root/etc/nsswitch.conf"
[ "$(id -u)" != 0 ] || chown 10001:10001 "$root/run/vault-token-agent" "$root/var/lib/vault-token-agent"
