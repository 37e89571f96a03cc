# The only entry point. `make help` lists what there is.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help run test bench fuzz lint audit setup package packages simulator clean distclean

ifneq ($(words $(CURDIR)),1)
$(error the path of this directory must not contain spaces)
endif

TARGET_DIR := $(abspath $(or $(CARGO_TARGET_DIR),target))
export CARGO_TARGET_DIR := $(TARGET_DIR)
include cross/platforms.mk

# make run: the ports of the web page and, unless the settings are to say it, of the broker.
HTTP_PORT ?= 8080
PORT ?=
# Its files. The path must be short, for the unix sockets below it.
ROUTER ?= $(TARGET_DIR)/router

PACKAGE = $(TARGET_DIR)/packages/mqtt_broker.$(PLATFORM).tgz
SIMULATOR := $(TARGET_DIR)/debug/simulator
VENV := $(TARGET_DIR)/venv

# make bench: which scenarios, all if none is named, how often each, and another broker's command (bench/src/candidate.rs).
SCENARIO ?=
ROUNDS ?= 3
AGAINST ?=
BENCH_ARGS ?=

# make fuzz: which target, all if none is named, and for how long each.
TARGET ?=
SECONDS ?= 60

help:
	@echo 'make run                     the broker in a simulated router on this machine, with its web page'
	@echo '                             (HTTP_PORT=$(HTTP_PORT), PORT=1883 choose other ports)'
	@echo 'make test                    everything that is tested, the linters included'
	@echo 'make package PLATFORM=v3     target/packages/mqtt_broker.v3.tgz for upload; also: $(filter-out v3,$(ROUTERS)) host'
	@echo 'make packages                the packages of all routers'
	@echo 'make bench                   the broker beside Mosquitto: speed, memory, what is lost; some ten minutes'
	@echo '                             (SCENARIO=pairs,queue, ROUNDS=$(ROUNDS), AGAINST=COMMAND choose)'
	@echo 'make fuzz                    the parsers of packets, topics, settings and forms, a minute each (needs cargo-fuzz;'
	@echo '                             TARGET=packet, SECONDS=$(SECONDS) choose one and its time)'
	@echo 'make lint                    format, clippy, and what else is installed of cargo-deny and shellcheck'
	@echo 'make audit                   licenses, sources and known weaknesses of all dependencies (cargo-deny)'
	@echo 'make setup                   install what Debian has of all that is needed; make test does it by itself'
	@echo 'make clean                   delete what was built; make distclean also deletes tools and the simulated router'

run:
	@$(MAKE) --no-print-directory package simulator PLATFORM=host
	@exec cross/run.sh '$(SIMULATOR)' '$(TARGET_DIR)/packages/mqtt_broker.host.tgz' '$(ROUTER)' '$(HTTP_PORT)' '$(PORT)'

simulator:
	@cargo build --quiet --locked --package simulator

# --- packages

# One sentence instead of a compiler's page.
define check_tools
$(if $(RUST_TARGET),,$(error no rustc: install Rust, https://rustup.rs))
$(if $(NO_STD),$(error no Rust standard library for $(RUST_TARGET): run 'make setup', or 'rustup target add $(RUST_TARGET)'))
$(if $(shell PATH="$(BUILD_PATH)" command -v $(LINKER)),,$(error no C compiler $(LINKER): run 'make setup', or put one on PATH))
$(if $(shell perl -MFindBin -MFile::Compare -MIPC::Cmd -e 'print 1' 2>/dev/null),,$(error no perl with its modules, which \
	OpenSSL is built by: run 'make setup', or install it; on Debian: apt-get install perl))
endef

package:
	$(call check_tools)
	@set -e; openssl=$$($(OPENSSL_BUILD)); export OPENSSL_DIR="$$openssl" OPENSSL_STATIC=1 OPENSSL_NO_VENDOR=1; \
	$(BUILD_ENV) $(CARGO) build --release --locked --package broker --package cgi $(CPU_CONFIG); \
	$(BUILD_ENV) CARGO=$(CARGO) cross/pack.sh $(TARGET_DIR)/$(RUST_TARGET)/release $(TARGET_DIR)/stage/$(PLATFORM) \
		$(PACKAGE) $(RUST_TARGET) $(LIBC)

packages:
	@set -e; for platform in $(ROUTERS); do $(MAKE) --no-print-directory package PLATFORM=$$platform; done

# --- tests

setup:
	@cross/setup-debian.sh all '$(CROSS_TOOLS)'
	@for part in fmt clippy; do \
		cargo $$part --version >/dev/null 2>&1 || rustup component add $$(echo $$part | sed 's/^fmt/rustfmt/') || \
		{ echo "cargo $$part is missing: install it as the Rust toolchain was installed"; exit 1; }; \
	done

test: setup
	@$(MAKE) --no-print-directory lint
	cargo test --locked --workspace
	@$(MAKE) --no-print-directory package PLATFORM=host
	@$(MAKE) --no-print-directory package PLATFORM=v3
	@$(MAKE) --no-print-directory simulator
	@[ -x $(VENV)/bin/python3 ] || python3 -m venv $(VENV)
	@$(VENV)/bin/pip install --quiet --disable-pip-version-check --requirement tests/requirements.txt
	PACKAGE_HOST=$(TARGET_DIR)/packages/mqtt_broker.host.tgz PACKAGE_V3=$(TARGET_DIR)/packages/mqtt_broker.v3.tgz \
		SIMULATOR=$(SIMULATOR) $(VENV)/bin/python3 -m pytest tests $(PYTEST_ARGS)

# Our broker as its package for this machine holds it.
bench:
	@$(MAKE) --no-print-directory package PLATFORM=host
	@cargo build --quiet --release --locked --package bench
	@$(TARGET_DIR)/release/bench --ours $(TARGET_DIR)/$(RUST_TARGET)/release/mqtt_broker --known bench/instructions.txt \
		--rounds '$(ROUNDS)' --scenario '$(SCENARIO)' --against '$(AGAINST)' $(BENCH_ARGS)

fuzz:
	@python3 crates/fuzz.py --seconds $(SECONDS) $(TARGET)

SCRIPTS := .ci/run cross/pack.sh cross/run.sh cross/setup-debian.sh etc/init etc/install etc/uninstall
# Not POSIX, but of every shell there is: -ef of test. And mkdir -p -m is meant for the last directory alone.
SHELLCHECK := --severity=warning --exclude=SC3013,SC2174

lint:
	cargo fmt --all --check
	@for crate in crates/*/fuzz; do cargo fmt --manifest-path $$crate/Cargo.toml --check || exit; done
	cargo clippy --locked --workspace --all-targets -- -D warnings
	@for script in $(SCRIPTS); do sh -n $$script || exit; done
	@if command -v shellcheck >/dev/null; then shellcheck $(SHELLCHECK) $(SCRIPTS); \
		else echo 'shellcheck is not installed: skipped'; fi
	@if cargo deny --version >/dev/null 2>&1; then cargo deny --offline check --hide-inclusion-graph bans licenses sources; \
		else echo 'cargo-deny is not installed: skipped (make audit)'; fi

audit:
	@cargo deny --version >/dev/null 2>&1 || \
		{ echo "cargo-deny is missing: run 'cargo install --locked cargo-deny', which takes some minutes"; exit 1; }
	cargo deny check

clean:
	@for part in debug release packages stage tmp doc fuzz/build $(notdir $(wildcard $(TARGET_DIR)/*-linux-*)); do \
		rm -rf "$(TARGET_DIR)/$$part"; done

distclean:
	@rm -rf $(TARGET_DIR)
