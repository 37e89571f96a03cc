# What each platform of the routers is to the compiler, and where its standard library comes from.

ROUTERS := v2i v3 v4 v4i
PLATFORM ?= host

CPU_v2i := armv5te
CPU_v3 := armv7hf
CPU_v4 := aarch64
CPU_v4i := aarch64
CPU_host := host
CPU := $(CPU_$(PLATFORM))
$(if $(CPU),,$(error PLATFORM is one of: $(ROUTERS) host))

CROSS_TOOLS ?= $(TARGET_DIR)/cross-tools
CARGO ?= cargo

ifeq ($(CPU),host)
RUST_TARGET := $(shell rustc -vV 2>/dev/null | sed -n 's/^host: //p')
LIBC := $(if $(findstring musl,$(RUST_TARGET)),musl,glibc)
CPU_CONFIG := --config cross/host.toml --target $(RUST_TARGET)
LINKER := cc
ARCHIVER := ar
else
RUST_TARGET := $(shell sed -n 's/^target = "\(.*\)"/\1/p' cross/$(CPU).toml)
LIBC := musl
CPU_CONFIG := --config cross/$(CPU).toml
LINKER := $(shell sed -n 's/^linker = "\(.*\)"/\1/p' cross/$(CPU).toml)
ARCHIVER := $(shell sed -n 's/^AR_.* = "\(.*\)"/\1/p' cross/$(CPU).toml)
# The compilers that cross/setup-debian.sh makes go first. A program of this name elsewhere on PATH will do too.
BUILD_PATH := $(CROSS_TOOLS)/bin:$(PATH)

# 1. A standard library that is there, built (rustup target add); 2. the source of one, beside the compiler in use,
# or 3. beside the distribution's. A source serves only the compiler it came with.
rustc_says = $(or $(shell $(1) rustc --print $(2) 2>/dev/null),/no/rustc)
has_std = $(wildcard $(call rustc_says,$(1),target-libdir --target $(RUST_TARGET))/libstd-*.rlib)
has_source = $(wildcard $(call rustc_says,$(1),sysroot)/lib/rustlib/src/rust/library/Cargo.lock)
ifeq ($(call has_std),)
CPU_CONFIG += --config cross/build-std.toml
BUILD_ENV := RUSTC_BOOTSTRAP=1
ifeq ($(call has_source),)
SYSTEM_PATH := $(shell getconf PATH)
BUILD_PATH := $(CROSS_TOOLS)/bin:$(SYSTEM_PATH)
ifeq ($(call has_source,PATH="$(SYSTEM_PATH)"),)
NO_STD := yes
endif
endif
endif
endif

BUILD_PATH ?= $(PATH)
# In the program, the same paths wherever it was built.
SYSROOT := $(call rustc_says,PATH="$(BUILD_PATH)",sysroot)
REGISTRY := $(or $(CARGO_HOME),$(HOME)/.cargo)
REMAP := "--remap-path-prefix=$(SYSROOT)=/rust", "--remap-path-prefix=$(REGISTRY)=/cargo", \
	"--remap-path-prefix=$(CURDIR)=/mqtt_broker", "--remap-path-prefix=$(TARGET_DIR)=/target"
CPU_CONFIG += --config 'target.$(RUST_TARGET).rustflags=[$(REMAP)]'
# And the same date: mimalloc can print when it was compiled. That of the package itself is cross/pack.sh's.
CPU_CONFIG += --config 'env.SOURCE_DATE_EPOCH.value="0"' --config 'env.SOURCE_DATE_EPOCH.force=true'

# Flags for the developer's own builds are none of the package's, nor is any OpenSSL but ours.
OWN_FLAGS := -u RUSTFLAGS -u CARGO_ENCODED_RUSTFLAGS -u CARGO_BUILD_RUSTFLAGS -u CARGO_BUILD_TARGET -u CFLAGS \
	-u OPENSSL_LIB_DIR -u OPENSSL_INCLUDE_DIR -u OPENSSL_LIBS
BUILD_ENV := env $(OWN_FLAGS) PATH="$(BUILD_PATH)" $(BUILD_ENV)

# Prints where it is; of the host, whose compiler runs it, it needs no more than the cross compilers on PATH.
OPENSSL_BUILD = env $(OWN_FLAGS) PATH="$(CROSS_TOOLS)/bin:$(PATH)" cargo run --quiet --locked --package openssl-build -- \
	$(RUST_TARGET) $(LINKER) $(ARCHIVER) $(TARGET_DIR)/openssl
