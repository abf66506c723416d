#!/bin/sh
# Writes what the agent says about its own configuration into the schema, the guide and the manual page.
# usage: tools/write-reference.sh BINARY
set -eu
binary=$1
cd "$(dirname "$0")/.."

"$binary" config schema >deploy/config.schema.json

# Puts the output of the command that a line "reference: COMMAND" names between that line and the next line "end".
for file in docs/configuration.md docs/man/vault-token-agent.json.5; do
    awk -v binary="$binary" '
        /^(<!--|\.\\") reference: / {
            print; fflush()
            command = $0
            sub(/^[^:]*: /, "", command)
            sub(/ -->$/, "", command)
            if (system(binary " " command)) exit 1
            skipping = 1
            next
        }
        /^(<!--|\.\\") end/ { skipping = 0 }
        !skipping { print; fflush() }
    ' "$file" >"$file.new"
    mv "$file.new" "$file"
done
