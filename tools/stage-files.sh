#!/bin/sh
# Puts a built agent and all that belongs to it where they stand on a machine, under another root. Every package is made
# of this one tree.
# usage: tools/stage-files.sh BINARY ROOT
set -eu
binary=$(realpath "$1")
mkdir -p "$2"
root=$(realpath "$2")
cd "$(dirname "$0")/.."
umask 022
export SWIFT_BACKTRACE=enable=no
share=$root/usr/share
documents=$share/doc/vault-token-agent
put() { install -D -m 0644 "$1" "$2"; }
zipped() { mkdir -p "$(dirname "$1")" && gzip -9n >"$1" && chmod 0644 "$1"; }

mkdir -p "$root/etc/vault-token-agent"
install -D -m 0755 "$binary" "$root/usr/bin/vault-token-agent"
for unit in vault-token-agent.service vault-token-agent@.service; do
    put "deploy/systemd/$unit" "$root/usr/lib/systemd/system/$unit"
done
put deploy/systemd/vault-token-agent.sysusers "$root/usr/lib/sysusers.d/vault-token-agent.conf"
zipped "$share/man/man8/vault-token-agent.8.gz" <docs/man/vault-token-agent.8
zipped "$share/man/man5/vault-token-agent.json.5.gz" <docs/man/vault-token-agent.json.5

completions() { mkdir -p "$(dirname "$2")" && "$binary" --generate-completion-script "$1" | sed '1{/^#!/d}' >"$2"; }
completions bash "$share/bash-completion/completions/vault-token-agent"
completions zsh "$share/zsh/site-functions/_vault-token-agent"
completions fish "$share/fish/vendor_completions.d/vault-token-agent.fish"

put deploy/config.schema.json "$share/vault-token-agent/config.schema.json"
for file in docs/*.md LICENSE; do put "$file" "$documents/$(basename "$file")"; done
for file in deploy/systemd/dynamic-user.conf deploy/systemd/example-consumer* deploy/systemd/vault-token-agent.rules \
    deploy/monitoring/*; do
    put "$file" "$documents/examples/$(basename "$file")"
done
sed 's,"deploy/config,"/usr/share/vault-token-agent/config,' config.example.json >"$documents/examples/config.json"
zipped "$documents/changelog.gz" <CHANGELOG.md
