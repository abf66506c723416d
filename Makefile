# Everything a developer does here. `make` alone lists the targets.

export PATH := $(or $(PATH),/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin):/opt/swift/usr/bin:$(CURDIR)/.venv/bin
# The backtracer prints memory on a crash, secrets with it.
export SWIFT_BACKTRACE := enable=no

PYTHON_SOURCES := Tests
SWIFT_SOURCES  := Sources Tests Package.swift
# Checks that no source imports a room which Package.swift does not name among its dependencies.
BUILD_FLAGS    := --explicit-target-dependency-import-check error
# Swift linked statically, unreferenced sections dropped (the default), symbols stripped. lld with packed relocations
# (glibc 2.36) and without a dynamic symbol table or unwind tables: 17.9 MB become 14.1.
RELEASE_FLAGS  := $(BUILD_FLAGS) -c release --static-swift-stdlib -Xswiftc -use-ld=lld -Xlinker -s \
	-Xlinker -z -Xlinker pack-relative-relocs -Xlinker --no-export-dynamic -Xlinker $(CURDIR)/tools/no-unwind-tables.ld
# Parallel end-to-end tests: they wait more than they work.
WORKERS        ?= 4

.DEFAULT_GOAL := help
.PHONY: help setup build release test swift-test python-test sim fleet demo bench deb lint format reference

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## install what is missing: Debian packages (as root), .venv with pinned Python packages
	@tools/setup.sh

build: setup ## debug build of the agent and of its tests
	swift build --build-tests $(BUILD_FLAGS)

release: setup ## release build: Swift linked statically, stripped; prints where it is
	swift build $(RELEASE_FLAGS) --product vault-token-agent
	@ls -l "$$(swift build $(RELEASE_FLAGS) --show-bin-path)/vault-token-agent"

test: lint swift-test python-test sim ## set-up, build, lint, every test, and 1,000 seeds of the simulation

# Suites that wait for sockets, clocks and children, and have limits on how long; beside suites that compute, or too many
# of their own kind, they would wait for a thread instead. So these run first, a group at a time, then all others.
WAITING_SUITES := EventLoopTests|HTTPClientTests|ChildProcessTests
SERVING_SUITES := AgentRuntimeTests|ServiceHealthTests
SWIFT_TEST     := swift test --skip-build --enable-swift-testing --disable-xctest

swift-test: build
	$(SWIFT_TEST) --filter '$(WAITING_SUITES)'
	$(SWIFT_TEST) --filter '$(SERVING_SUITES)'
	$(SWIFT_TEST) --skip '$(WAITING_SUITES)|$(SERVING_SUITES)'

python-test: build
	.venv/bin/python -m pytest -c Tests/pytest.ini -n $(WORKERS) $(TESTS)

sim: setup ## the agent through SEEDS=1000 simulated weeks of faults; SEED=n replays one with a readable trace
	swift build $(RELEASE_FLAGS) --product simulation
	@"$$(swift build $(RELEASE_FLAGS) --show-bin-path)/simulation" $(if $(SEED),--seed $(SEED),--seeds $(or $(SEEDS),1000))

fleet: setup ## 10,000 agents and one Vault, beside Vault Agent's algorithm: a table, and docs/design/fleet.svg; 5 to 10 minutes
	swift build $(RELEASE_FLAGS) --product simulation
	@"$$(swift build $(RELEASE_FLAGS) --show-bin-path)/simulation" fleet --agents $(or $(AGENTS),10000) \
		--figure $(or $(FIGURE),docs/design/fleet.svg)

demo: setup ## the agent at work in a laboratory on this machine; SECONDS=90 ends with a verdict, else Ctrl-C
	swift build --product vault-token-agent
	@PYTHONPATH=Tests/Laboratory .venv/bin/python -m laboratory.demo $(if $(SECONDS),--seconds $(SECONDS))

bench: release ## the release build beside OpenBao's own agent, and with 1 to 1,000 tokens: memory, CPU, requests, start
	@PYTHONPATH=Tests/Laboratory .venv/bin/python Tests/Benchmark/compare.py
	@PYTHONPATH=Tests/Laboratory .venv/bin/python Tests/Benchmark/scale.py

lint: setup ## formatters and linters, strict: Swift and Python
	swift format lint --strict -r -p $(SWIFT_SOURCES)
	.venv/bin/ruff check --quiet $(PYTHON_SOURCES)
	.venv/bin/ruff format --check --quiet $(PYTHON_SOURCES)

reference: build ## write schema, key tables and manual page from the agent's own description of its configuration
	tools/write-reference.sh "$$(swift build --show-bin-path)/vault-token-agent"

format: setup ## format all sources in place
	swift format -i -r -p $(SWIFT_SOURCES)
	-.venv/bin/ruff check --quiet --fix $(PYTHON_SOURCES)
	.venv/bin/ruff format --quiet $(PYTHON_SOURCES)

deb: release ## a Debian package of the release build, in out/
	@tools/build-deb.sh "$$(swift build $(RELEASE_FLAGS) --show-bin-path)/vault-token-agent" out
