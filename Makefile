# Everything a developer does here. `make` alone lists the targets.

export PATH := $(or $(PATH),/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin):/opt/swift/usr/bin:$(CURDIR)/.venv/bin
# The backtracer prints memory on a crash, secrets with it.
export SWIFT_BACKTRACE := enable=no

PYTHON_SOURCES := Tests tools
SWIFT_SOURCES  := Sources Tests Package.swift
# Checks that no source imports a room which Package.swift does not name among its dependencies.
BUILD_FLAGS    := --explicit-target-dependency-import-check error
# Swift and C++ linked statically, unreferenced sections dropped (the default), symbols stripped; lld without a dynamic symbol
# table or unwind tables. No RUNPATH: a library planted beside the program must not be loaded. A stand-in for the few
# names of FoundationEssentials that swift-argument-parser uses. No path of this folder inside.
LIBRARIES      := $(CURDIR)/.libraries
RELEASE_FLAGS  := $(BUILD_FLAGS) -c release --static-swift-stdlib --disable-local-rpath -Xswiftc -use-ld=lld -Xlinker -s \
	-Xlinker --no-export-dynamic -Xlinker $(CURDIR)/tools/no-unwind-tables.ld -Xlinker -L$(LIBRARIES)/release \
	-Xlinker $(LIBRARIES)/release/compatibility.o -Xswiftc -Xclang-linker -Xswiftc -static-libgcc -Xswiftc -I$(LIBRARIES)/release \
	-Xswiftc -Xfrontend -Xswiftc -enable-stack-protector -Xswiftc -file-prefix-map -Xswiftc $(CURDIR)=. -Xswiftc -Osize -Xlinker --icf=all \
	$(addprefix -Xswiftc ,-Xfrontend -disable-implicit-string-processing-module-import)
# Says which objects and archives the binary is made of; a test reads it.
LINK_MAP       := -Xlinker -Map=$(CURDIR)/out/vault-token-agent.map
RELEASED       := out/vault-token-agent
# What it is made of; folders are among them, for the files that are gone.
RELEASE_INPUTS := Makefile Package.swift tools/no-unwind-tables.ld $(shell find Sources) $(wildcard $(LIBRARIES)/made)
# Parallel end-to-end tests: they wait more than they work.
WORKERS        ?= 8
# So many Swift tests at a time, all in one process: all at once, each would get a sliver of the machine, and what waits
# for a real server would wait for all the others. A Swift without this variable runs them all at once.
export SWT_EXPERIMENTAL_MAXIMUM_PARALLELIZATION_WIDTH ?= 6
# Where a part of the tests writes its report in JUnit's form; none by default.
REPORT         ?=

.DEFAULT_GOAL := help
.PHONY: help setup build release binary test test-again swift-test swift-run python-test python-run sim sim-build mutations-build sim-run explore \
	sanitize sanitize-address sanitize-thread fuzz fuzz-run chaos coverage fleet demo bench faults deb rpm tarball rootfs packages digests sbom reproducible lint format reference

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## install what is missing: Debian packages (as root), .venv with pinned Python packages
	@tools/setup.sh

build: setup ## debug build of the agent and of its tests
	swift build --build-tests $(BUILD_FLAGS)

release: setup binary ## release build: Swift linked statically, stripped: out/vault-token-agent

binary: $(RELEASED)
	@ls -l $(RELEASED)

$(RELEASED): $(RELEASE_INPUTS)
	@mkdir -p out
	swift build $(RELEASE_FLAGS) $(LINK_MAP) --product vault-token-agent
	@install "$$(swift build $(RELEASE_FLAGS) $(LINK_MAP) --show-bin-path)/vault-token-agent" $(RELEASED)

# Built before anything runs, then run side by side: much of a test is waiting.
test: lint build binary sim-build mutations-build fuzz-run ## set-up, build, lint, every test, 300 seeds of the simulation, 40,000 inputs for each reader
	@echo "Swift tests, end-to-end tests and simulation run side by side; each tells when it is done"
	@$(MAKE) --no-print-directory --keep-going --jobs=3 --output-sync=target swift-run python-run sim-run

test-again: build binary sim-build mutations-build ## all tests N=10 times, half of them on a busy machine: what was ever red; PART=swift, python or sim
	@tools/test-again.py $(or $(N),10) $(PART)

swift-test: build swift-run ## the Swift tests
swift-run:
	tools/leaving-nothing.sh tools/swift-tests.py $(REPORT)

python-test: build binary sim-build mutations-build python-run ## the end-to-end tests; TESTS='FILE -k NAME' for some
python-run:
	tools/leaving-nothing.sh sh -c '.venv/bin/python -m pytest --basetemp="$$TMPDIR/pytest" "$$@"' pytest \
		-c Tests/pytest.ini -n $(WORKERS) $(if $(REPORT),--junitxml=$(REPORT)) $(TESTS)

sim: sim-build sim-run ## the agent through SEEDS=300 simulated weeks of faults; SEED=n replays one with a readable trace
sim-build: setup
	swift build $(RELEASE_FLAGS) --product simulation
mutations-build: setup
	@.venv/bin/python Tests/Simulation/mutated_simulation.py
sim-run:
	@.build/release/simulation $(if $(SEED),--seed $(SEED),--seeds $(or $(SEEDS),300))

explore: setup ## every order of events around the core, to DEPTH=8 or SITUATIONS=400000 known states for each of four policies
	swift build $(RELEASE_FLAGS) --product simulation
	@"$$(swift build $(RELEASE_FLAGS) --show-bin-path)/simulation" explore --depth $(or $(DEPTH),8) \
		--situations $(or $(SITUATIONS),400000)

sanitize: setup ## all Swift tests, and SECONDS=60 of the agent at work, under the address and the thread sanitizer; sanitize-thread: under one
	@tools/sanitize.py --seconds $(or $(SECONDS),60)
sanitize-address sanitize-thread: sanitize-%: setup
	@tools/sanitize.py --seconds $(or $(SECONDS),60) $*

fuzz: setup ## every reader of foreign bytes under libFuzzer and the address sanitizer: SECONDS=60 for each, or for TARGET=name
	@tools/fuzz.py --seconds $(or $(SECONDS),60) $(TARGET)
fuzz-run: setup
	@tools/fuzz.py --inputs 40000

chaos: build binary ## the release build while the kernel refuses its calls, servers turn hostile, strangers change its files, signals flood it: every case
	@CHAOS=all VTA_BINARY=$(CURDIR)/$(RELEASED) $(MAKE) --no-print-directory python-run TESTS='--dist load Tests/Chaos'

coverage: setup ## which lines the Swift tests and the end-to-end tests execute, by room; ROOM=name lists what nobody has been in
	@tools/coverage.py $(if $(ROOM),--files $(ROOM))

fleet: setup ## 10,000 agents and one Vault, beside Vault Agent's algorithm: a table, and docs/design/fleet.svg; 10 minutes; SCENARIO=... one alone
	swift build $(RELEASE_FLAGS) --product simulation
	@"$$(swift build $(RELEASE_FLAGS) --show-bin-path)/simulation" fleet --agents $(or $(AGENTS),10000) \
		$(if $(SCENARIO),--scenario "$(SCENARIO)",--figure $(or $(FIGURE),docs/design/fleet.svg))

demo: setup ## the agent at work in a laboratory on this machine; SECONDS=90 ends with a verdict, else Ctrl-C
	swift build --product vault-token-agent
	@PYTHONPATH=Tests/Laboratory .venv/bin/python -m laboratory.demo $(if $(SECONDS),--seconds $(SECONDS))

bench: release ## the release build beside OpenBao's own agent, and with 1 to 1,000 tokens: memory, CPU, requests, start
	@for part in compare login scale growth; do \
		PYTHONPATH=Tests/Laboratory:Tests/Laboratory/tests .venv/bin/python Tests/Benchmark/$$part.py || exit 1; done

faults: release ## what happens when Vault is away, the disk is full, …: each brought about, with figures; 4 minutes
	@PYTHONPATH=Tests/Laboratory .venv/bin/python Tests/Benchmark/faults.py

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
	@tools/build-deb.sh $(RELEASED) out

rpm: release ## an RPM package of it
	@tools/build-rpm.sh $(RELEASED) out

tarball: release ## a tar archive of it with an installer, for any Linux with systemd
	@tools/build-tarball.sh $(RELEASED) out

rootfs: release ## the container image's root file system, in out/rootfs
	@rm -rf out/rootfs && tools/build-rootfs.sh $(RELEASED) out/rootfs && du -sh out/rootfs

sbom: release ## what is in the release build, and what it loads: SPDX JSON
	@SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct) python3 tools/write-sbom.py $(RELEASED) >out/vault-token-agent.spdx.json

packages: deb rpm tarball sbom digests ## all packages, the bill of materials, and their digests in out/SHA256SUMS

digests: ## writes out/SHA256SUMS anew: of the packages, once they are signed, and of the bill of materials
	@cd out && sha256sum vault-token-agent*.deb vault-token-agent*.rpm vault-token-agent*.tar.gz *.spdx.json >SHA256SUMS && cat SHA256SUMS

reproducible: release ## builds the last commit once more in another folder and compares the two binaries
	@tools/compare-builds.sh $(RELEASED)
