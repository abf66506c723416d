#!/bin/sh
# usage: tools/leaving-nothing.sh COMMAND [ARGUMENT]...
# Runs a command whose temporary files stand in a directory of their own, and fails where it leaves one behind.
set -eu
own=$(mktemp -d "${TMPDIR:-/tmp}/vta-XXXXXX")
trap 'rm -rf "$own"' EXIT
trap 'exit 130' INT TERM
# Tests have other users' processes in it.
chmod 1777 "$own"
status=0
TMPDIR=$own "$@" || status=$?
# What the tools themselves leave: SwiftPM at every start, pytest (a test runs one of its own) for a look into a failure.
rm -rf "$own"/TemporaryDirectory.* "$own"/swift-generated-sources "$own"/*.lock "$own"/pytest*
# A test's helper ends when the test's process has ended, and then takes its files along.
tries=0
while [ -n "$(ls -A "$own")" ] && [ $tries -lt 200 ]; do
	sleep 0.1
	tries=$((tries + 1))
done
if [ -n "$(ls -A "$own")" ]; then
	echo "left behind by $1:" >&2
	find "$own" -mindepth 1 -maxdepth 2 | head -40 >&2
	[ $status -ne 0 ] || status=1
fi
exit $status
