# portero: build, install, test. `make demo` and `make test` do all their own set-up.

DESTDIR ?=
PREFIX ?= /usr
CARGO ?= cargo
HOOKS := network qemu daemon
PROGRAMS := portero portero-watch $(HOOKS:%=portero-%-hook)
UNITS := portero-watch.service portero-bridge-guard@.service portero-bridge-recover.service
# What every boot begins with.
EARLY := $(PREFIX)/lib/systemd/system/sysinit.target.wants
# What is built and installed: `release`, small and fast, or `dev`, which is built sooner and is what `make test` tries.
PROFILE ?= release
export PROFILE
BUILT := $(or $(CARGO_TARGET_DIR),target)/$(PROFILE:dev=debug)
# Manual pages that `portero` itself writes, portero(1) and those of its subcommands.
PAGES := $(BUILT)/man
MAN := $(PREFIX)/share/man
BASH_COMPLETIONS ?= $(PREFIX)/share/bash-completion/completions
# Debian's zsh looks into a folder of its own.
ZSH_COMPLETIONS ?= $(PREFIX)/share/zsh/$(if $(wildcard /etc/debian_version),vendor-completions,site-functions)
FISH_COMPLETIONS ?= $(PREFIX)/share/fish/vendor_completions.d

.PHONY: all build docs install uninstall deb rpm vendor setup demo test unit lab test-matrix fuzz deny audit bench fmt clean

# Where tests/roots keeps the Debian trees whose libvirt is tested, and which cells there are.
ROOTS := $(or $(PORTERO_ROOTS),$(or $(XDG_CACHE_HOME),/var/cache)/portero-lab)
CELLS ?= bookworm/iptables trixie/iptables trixie/nftables
# Bridges of the host know no firewall, and `firewalls` knows both: one cell of each tree will do.
BRIDGES ?= $(sort $(foreach cell,$(CELLS),$(firstword $(subst /, ,$(cell)))))
# What is run in each cell.
LABS ?= forwarding faults attack soak policy migration broken packages
LAB := $(CARGO) test --locked -p portero-lab --test

all: build

build:
	$(CARGO) build --profile $(PROFILE) --locked
	$(MAKE) docs

# The manual pages of the portero that was built.
docs:
	rm -rf '$(PAGES)' && mkdir '$(PAGES)'
	for page in $$('$(BUILT)/portero' page); do \
		'$(BUILT)/portero' page "$$page" >"$(PAGES)/$$page.1" || exit 1; \
	done

# Copies what `make build` has built; run it before, as yourself.
install:
	install -d '$(DESTDIR)$(PREFIX)/bin'
	for folder in domains networks groups; do install -d "$(DESTDIR)/etc/portero/$$folder" || exit 1; done
	for program in $(PROGRAMS); do \
		install -m 0755 "$(BUILT)/$$program" '$(DESTDIR)$(PREFIX)/bin/' || exit 1; \
	done
	for hook in $(HOOKS); do \
		install -d "$(DESTDIR)/etc/libvirt/hooks/$$hook.d" && \
		ln -sfn "$(PREFIX)/bin/portero-$$hook-hook" "$(DESTDIR)/etc/libvirt/hooks/$$hook.d/50-portero" || exit 1; \
	done
	install -d '$(DESTDIR)$(PREFIX)/lib/systemd/system'
	install -m 0644 $(UNITS:%=packaging/systemd/%) '$(DESTDIR)$(PREFIX)/lib/systemd/system/'
	for section in 1 5 7 8; do install -d "$(DESTDIR)$(MAN)/man$$section" || exit 1; done
	install -m 0644 '$(PAGES)'/*.1 '$(DESTDIR)$(MAN)/man1/'
	install -m 0644 packaging/man/*.5 '$(DESTDIR)$(MAN)/man5/'
	install -m 0644 packaging/man/*.7 '$(DESTDIR)$(MAN)/man7/'
	install -m 0644 packaging/man/*.8 '$(DESTDIR)$(MAN)/man8/'
	install -D -m 0644 packaging/completions/portero.bash '$(DESTDIR)$(BASH_COMPLETIONS)/portero'
	install -D -m 0644 packaging/completions/_portero '$(DESTDIR)$(ZSH_COMPLETIONS)/_portero'
	install -D -m 0644 packaging/completions/portero.fish '$(DESTDIR)$(FISH_COMPLETIONS)/portero.fish'
	install -D -m 0644 docs/schema/portero.rng '$(DESTDIR)$(PREFIX)/share/portero/portero.rng'
	install -d '$(DESTDIR)$(EARLY)'
	ln -sfn ../portero-bridge-recover.service '$(DESTDIR)$(EARLY)/portero-bridge-recover.service'
	for script in after-install before-removal; do \
		install -m 0755 "packaging/scripts/$$script" '$(DESTDIR)$(PREFIX)/share/portero/' || exit 1; \
	done
	[ -e '$(DESTDIR)/etc/portero/portero.toml' ] || \
		install -m 0644 packaging/portero.toml '$(DESTDIR)/etc/portero/portero.toml'

uninstall:
	for hook in $(HOOKS); do rm -f "$(DESTDIR)/etc/libvirt/hooks/$$hook.d/50-portero"; done
	rm -f '$(DESTDIR)$(EARLY)/portero-bridge-recover.service'
	for unit in $(UNITS); do rm -f "$(DESTDIR)$(PREFIX)/lib/systemd/system/$$unit"; done
	for program in $(PROGRAMS); do rm -f "$(DESTDIR)$(PREFIX)/bin/$$program"; done
	rm -f '$(DESTDIR)$(MAN)'/man1/portero.1 '$(DESTDIR)$(MAN)'/man1/portero-*.1
	for page in packaging/man/*; do \
		rm -f "$(DESTDIR)$(MAN)/man$${page##*.}/$${page##*/}" || exit 1; \
	done
	rm -f '$(DESTDIR)$(BASH_COMPLETIONS)/portero' '$(DESTDIR)$(ZSH_COMPLETIONS)/_portero' \
		'$(DESTDIR)$(FISH_COMPLETIONS)/portero.fish'
	rm -rf '$(DESTDIR)$(PREFIX)/share/portero'

VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml)
PACKAGES := $(or $(CARGO_TARGET_DIR),target)/packages

# target/packages/portero_VERSION_ARCH.deb, from this checkout.
deb: build
	rm -rf '$(PACKAGES)/deb' && mkdir -p '$(PACKAGES)/deb'
	cp -r packaging/debian '$(PACKAGES)/deb/debian'
	printf 'portero (%s) unstable; urgency=medium\n\n  * See /usr/share/doc/portero/changelog.gz.\n\n -- %s  %s\n' \
		'$(VERSION)' "$$(sed -n 's/^Maintainer: //p' packaging/debian/control)" "$$(date -R -r CHANGELOG.md)" \
		>'$(PACKAGES)/deb/debian/changelog'
	cd '$(PACKAGES)/deb' && SOURCE='$(CURDIR)' dpkg-buildpackage --no-check-builddeps --build=binary --no-sign >build.log 2>&1 || { cat build.log >&2; exit 1; }

# target/packages/portero-VERSION-1.ARCH.rpm, from this checkout.
rpm: build
	rm -rf '$(PACKAGES)/rpm' && mkdir -p '$(PACKAGES)/rpm'
	rpmbuild -bb --quiet --nodeps --build-in-place --define '_topdir $(abspath $(PACKAGES))/rpm' \
		--define 'portero_version $(VERSION)' --define 'portero_is_built 1' \
		--define "portero_date $$(LC_ALL=C date -r CHANGELOG.md '+%a %b %d %Y')" packaging/rpm/portero.spec >'$(PACKAGES)/rpm/build.log' 2>&1 || \
		{ cat '$(PACKAGES)/rpm/build.log' >&2; exit 1; }
	cp '$(PACKAGES)'/rpm/RPMS/*/portero-*.rpm '$(PACKAGES)/'

# All crates in vendor/, with the settings for cargo that let it build without a network.
vendor:
	mkdir -p .cargo
	$(CARGO) vendor --locked vendor >.cargo/config.toml

# Debian packages that building, tests, demo and benchmarks need, installed only where they are missing.
setup:
	tests/setup

demo: setup build
	$(CARGO) build --profile $(PROFILE) --locked -p portero-lab
	$(BUILT)/portero-demo

test: setup build deb rpm
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings
	$(CARGO) test --locked --workspace --exclude portero-lab
	$(MAKE) deny
	$(MAKE) fuzz FUZZ_SECONDS=8
	tests/roots bookworm
	PORTERO_LAB_ROOT='$(ROOTS)/bookworm' $(LAB) forwarding
	PORTERO_LAB_ROOT='$(ROOTS)/bookworm' $(LAB) faults
	PORTERO_LAB_ROOT='$(ROOTS)/bookworm' $(LAB) attack
	PORTERO_LAB_ROOT='$(ROOTS)/bookworm' $(LAB) soak
	PORTERO_LAB_ROOT='$(ROOTS)/bookworm' $(LAB) policy
	PORTERO_LAB_ROOT='$(ROOTS)/bookworm' $(LAB) migration
	PORTERO_LAB_ROOT='$(ROOTS)/bookworm' $(LAB) broken
	tests/packages '$(PACKAGES)' '$(ROOTS)/bookworm'
	PORTERO_LAB_ROOT='$(ROOTS)/bookworm' PORTERO_PACKAGES='$(abspath $(PACKAGES))' $(LAB) packages
	PORTERO_LAB_ROOT='$(ROOTS)/bookworm' $(LAB) bridges
	PORTERO_LAB_ROOT='$(ROOTS)/bookworm' $(LAB) firewalls
	PORTERO_LAB_ROOT='$(ROOTS)/bookworm' $(LAB) docs

# Without a libvirt, but for its headers: seconds, not minutes, and no privileges.
unit:
	$(CARGO) test --locked --workspace --exclude portero-lab

TEST ?= forwarding
# On Debian 12's libvirt; `make lab SCENARIO='part of a name'` runs some of the scenarios, and
# `TEST=policy` those about policies, `TEST=faults` what fails under portero, `TEST=attack` what somebody may try,
# `TEST=migration` two hosts, `TEST=broken` set-ups that are broken, `TEST=bridges` bridges of the host, `TEST=packages`
# the package, `TEST=soak` thousands of random events, `TEST=firewalls` what the firewalls make of rules, `TEST=docs` what
# is shown in pages with this part in their path.
lab: setup build deb
	tests/roots bookworm
	PORTERO_LAB_ROOT='$(ROOTS)/bookworm' PORTERO_PACKAGES='$(abspath $(PACKAGES))' $(LAB) '$(TEST)' -- '$(SCENARIO)'

# The whole lab on every libvirt and firewall; goes on after a failure and then fails.
test-matrix: setup build deb
	tests/roots $(sort $(foreach cell,$(CELLS),$(firstword $(subst /, ,$(cell)))))
	failed=''; for cell in $(CELLS); do for lab in $(LABS); do \
		echo "== $$cell, $$lab"; \
		PORTERO_LAB_ROOT="$(ROOTS)/$${cell%/*}" PORTERO_LAB_BACKEND="$${cell#*/}" PORTERO_PACKAGES='$(abspath $(PACKAGES))' $(LAB) "$$lab" || failed="$$failed $$cell/$$lab"; \
	done; done; \
	for suite in $(BRIDGES); do for lab in bridges firewalls; do \
		echo "== $$suite, $$lab"; \
		PORTERO_LAB_ROOT="$(ROOTS)/$$suite" $(LAB) "$$lab" || failed="$$failed $$suite/$$lab"; \
	done; done; \
	if [ -n "$$failed" ]; then echo "test-matrix: failed:$$failed" >&2; exit 1; fi

# Programs of cargo's that only tests use, and their versions.
TOOLS := $(ROOTS)/tools
CARGO_FUZZ := cargo-fuzz 0.13.2
CARGO_DENY := cargo-deny 0.20.2
FUZZ_SECONDS ?= 600
FUZZ ?= $(basename $(notdir $(wildcard tests/fuzz/targets/*.rs)))

# Any bytes for what reads others' bytes: each target of tests/fuzz for FUZZ_SECONDS, `FUZZ='host_files import'` some.
fuzz:
	tests/tool '$(TOOLS)' $(CARGO_FUZZ)
	PATH="$(abspath $(TOOLS))/bin:$$PATH" tests/fuzz/run '$(FUZZ_SECONDS)' $(FUZZ)

# Whether dependencies are what deny.toml allows: licenses, versions and where they come from. Needs no network once
# the sources of all crates are there.
deny:
	tests/tool '$(TOOLS)' $(CARGO_DENY) --no-default-features
	'$(TOOLS)/bin/cargo-deny' --offline check bans licenses sources

# The same and what is known to be wrong with dependencies, which is fetched from https://github.com/rustsec/advisory-db.
audit: deny
	'$(TOOLS)/bin/cargo-deny' check advisories

bench: setup build
	$(CARGO) run --release --locked -p portero-bench --bin portero-bench

fmt:
	$(CARGO) fmt --all

clean:
	$(CARGO) clean
