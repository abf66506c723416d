#!/bin/sh
# Installs vault-token-agent from this folder on a Linux with systemd, as root; again, with a newer folder, upgrades it.
# usage: ./install.sh            starts nothing that has not run before
#        ./install.sh --remove   takes all away but the configuration and the user
set -eu
cd "$(dirname "$0")/tree"
[ "$(id -u)" = 0 ] || { echo "install.sh: must run as root" >&2; exit 77; }
agents="vault-token-agent.service vault-token-agent@*.service"
running() { [ -d /run/systemd/system ]; }

if [ "${1:-}" = --remove ]; then
    if running; then
        # The template's name: all its instances.
        systemctl --no-reload disable vault-token-agent.service vault-token-agent@.service || :
        # shellcheck disable=SC2086
        systemctl stop $agents || :
    fi
    find . -type f | sed 's,^\./,/,' | while read -r file; do rm -f "$file"; done
    rm -rf /usr/share/vault-token-agent /usr/share/doc/vault-token-agent /var/lib/vault-token-agent \
        /var/lib/private/vault-token-agent /run/vault-token-agent
    ! running || systemctl daemon-reload
    exit 0
fi

# First see whether the program starts here: libraries that are missing are named now, and nothing is replaced.
./usr/bin/vault-token-agent version
find . -type d | while read -r folder; do [ -d "/$folder" ] || install -d -m 0755 "/$folder"; done
# Each file whole or not at all: a running program's file cannot be written, but it can be replaced.
find . -type f | while read -r file; do
    cp -p "$file" "/$file.new"
    chown 0:0 "/$file.new"
    mv -f "/$file.new" "/$file"
done
systemd-sysusers vault-token-agent.conf
if running; then
    systemctl daemon-reload
    # shellcheck disable=SC2086
    systemctl --no-block try-restart $agents
fi
echo "install.sh: next, write /etc/vault-token-agent/config.json (an example is in /usr/share/doc/vault-token-agent/examples)"
