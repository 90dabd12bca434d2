# portero: build, install, test. `make demo` and `make test` do all their own set-up.

DESTDIR ?=
PREFIX ?= /usr
CARGO ?= cargo
HOOKS := network qemu lxc daemon
PROGRAMS := portero portero-watch $(HOOKS:%=portero-%-hook)
UNITS := portero-watch.service portero-bridge-guard@.service portero-bridge-recover.service portero-metrics.service portero-metrics.timer
# What every boot begins with.
EARLY := $(PREFIX)/lib/systemd/system/sysinit.target.wants
# What is built and installed: `release`, small and fast, or `dev`, which is built sooner and is what `make test` tries.
PROFILE ?= release
export PROFILE
BUILT = $(or $(CARGO_TARGET_DIR),target)/$(PROFILE:dev=debug)
# Manual pages that `portero` itself writes, portero(1) and those of its subcommands.
PAGES = $(BUILT)/man
MAN := $(PREFIX)/share/man
BASH_COMPLETIONS ?= $(PREFIX)/share/bash-completion/completions
# Debian's zsh looks into a folder of its own.
ZSH_COMPLETIONS ?= $(PREFIX)/share/zsh/$(if $(wildcard /etc/debian_version),vendor-completions,site-functions)
FISH_COMPLETIONS ?= $(PREFIX)/share/fish/vendor_completions.d

.PHONY: all build docs cockpit cockpit-deb cockpit-rpm install uninstall debian deb rpm vendor setup tree compile demo test test-all unit programs core lab ansible ansible-core packages fuzz deny audit mutants bench fmt clean

# Where tests/roots keeps the Debian trees whose libvirt is tested, and the cells: a tree and a firewall.
ROOTS := $(or $(PORTERO_ROOTS),$(or $(XDG_CACHE_HOME),/var/cache)/portero-lab)
# Programs run where the C library is no older than the one they were linked with: what Debian 12 or an older one builds
# is tried on Debian 12's libvirt, what a newer one builds on Debian 13's.
GLIBC := $(lastword $(shell getconf GNU_LIBC_VERSION))
CELL := $(if $(shell printf '%s\n' '$(GLIBC)' 2.36 | sort -V | tail -n 1 | grep -x 2.36),bookworm/iptables,trixie/nftables)
TREE := $(ROOTS)/$(firstword $(subst /, ,$(CELL)))
IN_CELL := PORTERO_LAB_ROOT='$(TREE)' PORTERO_LAB_BACKEND='$(lastword $(subst /, ,$(CELL)))'
# These suites have trees of their own, which boot.
MACHINES := machine enforcing
# What the suite `metrics` asks.
PROMETHEUS = $(or $(CARGO_TARGET_DIR),target)/prometheus
# And this one has a tree beside each, with Cockpit and a browser.
WITH_COCKPIT = PORTERO_LAB_ROOT='$(TREE)-cockpit'
BROWSED := bookworm/iptables trixie/nftables
ON_MACHINE = PORTERO_LAB_ROOT='$(ROOTS)/$(TEST)' PORTERO_LAB_BACKEND=nftables
# Which scenarios of the suite `machine`, by a part of their names: all, `short:`, or `none`. `enforcing` is run with all.
MACHINE ?=
CELLS ?= $(filter bookworm/iptables,$(CELL)) trixie/iptables trixie/nftables trixie-modular/nftables
TREES = $(sort $(foreach cell,$(CELLS),$(firstword $(subst /, ,$(cell)))))

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
	for program in portero portero-watch portero-network-hook; do \
		install -m 0755 "$(BUILT)/$$program" '$(DESTDIR)$(PREFIX)/bin/' || exit 1; \
	done
	# A hook's program asks its own name which it is: one file has all four.
	for hook in $(filter-out network,$(HOOKS)); do \
		ln -f '$(DESTDIR)$(PREFIX)/bin/portero-network-hook' "$(DESTDIR)$(PREFIX)/bin/portero-$$hook-hook" || exit 1; \
	done
	for hook in $(HOOKS); do \
		install -d "$(DESTDIR)/etc/libvirt/hooks/$$hook.d" && \
		ln -sfn "$(PREFIX)/bin/portero-$$hook-hook" "$(DESTDIR)/etc/libvirt/hooks/$$hook.d/50-portero" || exit 1; \
	done
	install -d '$(DESTDIR)$(PREFIX)/lib/systemd/system'
	install -m 0644 $(UNITS:%=packaging/systemd/%) '$(DESTDIR)$(PREFIX)/lib/systemd/system/'
	install -D -m 0644 packaging/systemd/portero.tmpfiles '$(DESTDIR)$(PREFIX)/lib/tmpfiles.d/portero.conf'
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
	rm -f '$(DESTDIR)$(PREFIX)/lib/tmpfiles.d/portero.conf'
	for program in $(PROGRAMS); do rm -f "$(DESTDIR)$(PREFIX)/bin/$$program"; done
	rm -f '$(DESTDIR)$(MAN)'/man1/portero.1 '$(DESTDIR)$(MAN)'/man1/portero-*.1
	for page in packaging/man/*; do \
		rm -f "$(DESTDIR)$(MAN)/man$${page##*.}/$${page##*/}" || exit 1; \
	done
	rm -f '$(DESTDIR)$(BASH_COMPLETIONS)/portero' '$(DESTDIR)$(ZSH_COMPLETIONS)/_portero' \
		'$(DESTDIR)$(FISH_COMPLETIONS)/portero.fish'
	rm -rf '$(DESTDIR)$(PREFIX)/share/portero'

VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml)
PACKAGES = $(if $(filter dev,$(PROFILE)),$(BUILT),$(or $(CARGO_TARGET_DIR),target))/packages

# debian/, as dpkg-buildpackage wants it, in FOLDER: `make debian && dpkg-buildpackage --build=binary --no-sign` builds as
# Debian does, with its own Rust.
FOLDER ?= .
PACKAGING ?= packaging/debian
debian:
	rm -rf '$(FOLDER)/debian' && cp -r '$(PACKAGING)' '$(FOLDER)/debian'
	package=$$(sed -n 's/^Package: //p' $(PACKAGING)/control) && \
	printf '%s (%s) unstable; urgency=medium\n\n  * See /usr/share/doc/%s/changelog.gz.\n\n -- %s  %s\n' "$$package" \
		'$(VERSION)' "$$package" "$$(sed -n 's/^Maintainer: //p' $(PACKAGING)/control)" "$$(date -R -r CHANGELOG.md)" \
		>'$(FOLDER)/debian/changelog'

# target/packages/portero_VERSION_ARCH.deb, from this checkout.
deb: build
	rm -rf '$(PACKAGES)/deb' && mkdir -p '$(PACKAGES)/deb'
	$(MAKE) debian FOLDER='$(PACKAGES)/deb'
	cd '$(PACKAGES)/deb' && SOURCE='$(CURDIR)' dpkg-buildpackage --no-check-builddeps --build=binary --no-sign >build.log 2>&1 || { cat build.log >&2; exit 1; }

# target/packages/portero-VERSION-1DIST.ARCH.rpm, from this checkout; portero-selinux too where rpm knows SELinux's macros.
RPM_OPTIONS ?=
rpm: build
	rm -rf '$(PACKAGES)/rpm' && mkdir -p '$(PACKAGES)/rpm'
	rpmbuild -bb --quiet --nodeps --build-in-place --define '_topdir $(abspath $(PACKAGES))/rpm' \
		--define 'portero_version $(VERSION)' --define 'portero_is_built 1' \
		$(RPM_OPTIONS) packaging/rpm/portero.spec >'$(PACKAGES)/rpm/build.log' 2>&1 || \
		{ cat '$(PACKAGES)/rpm/build.log' >&2; exit 1; }
	rm -f '$(PACKAGES)'/portero-*.rpm
	cp '$(PACKAGES)'/rpm/RPMS/*/portero-*.rpm '$(PACKAGES)/'

# portero's page in Cockpit, in plugins/cockpit/dist. It needs npm, and nothing else here needs it.
COCKPIT := plugins/cockpit
cockpit:
	command -v npm >/dev/null || tests/setup npm
	cd $(COCKPIT) && npm ci --no-audit --no-fund --ignore-scripts --loglevel=error && npm run --silent check && npm test --silent && npm run --silent build
	tests/cockpit '$(COCKPIT)'

# What `make cockpit` has built, for every architecture: target/packages/cockpit-portero_VERSION_all.deb.
cockpit-deb:
	rm -rf '$(PACKAGES)/cockpit-deb' && mkdir -p '$(PACKAGES)/cockpit-deb'
	$(MAKE) debian FOLDER='$(PACKAGES)/cockpit-deb' PACKAGING=packaging/cockpit/debian
	cd '$(PACKAGES)/cockpit-deb' && SOURCE='$(CURDIR)' dpkg-buildpackage --no-check-builddeps --build=binary --no-sign >build.log 2>&1 || { cat build.log >&2; exit 1; }

# And target/packages/cockpit-portero-VERSION-1DIST.noarch.rpm.
cockpit-rpm:
	rm -rf '$(PACKAGES)/cockpit-rpm' && mkdir -p '$(PACKAGES)/cockpit-rpm'
	rpmbuild -bb --quiet --nodeps --build-in-place --define '_topdir $(abspath $(PACKAGES))/cockpit-rpm' \
		--define 'portero_version $(VERSION)' $(RPM_OPTIONS) packaging/cockpit/cockpit-portero.spec \
		>'$(PACKAGES)/cockpit-rpm/build.log' 2>&1 || { cat '$(PACKAGES)/cockpit-rpm/build.log' >&2; exit 1; }
	rm -f '$(PACKAGES)'/cockpit-portero-*.rpm
	cp '$(PACKAGES)'/cockpit-rpm/RPMS/noarch/cockpit-portero-*.rpm '$(PACKAGES)/'

# All crates in vendor/, with the settings for cargo that let it build without a network.
vendor:
	mkdir -p .cargo
	$(CARGO) vendor --locked vendor >.cargo/config.toml

# What is missing to compile and to make Debian trees.
setup:
	tests/setup

tree: setup
	tests/roots '$(notdir $(TREE))'

# Everything that tests run, with the features that `cargo test --workspace` gives it: built once.
compile: setup
	$(CARGO) build --locked --workspace
	$(CARGO) test --locked --workspace --no-run --quiet
	$(CARGO) test --locked --workspace --no-run --test '*' 2>'$(SUITES)' || { cat '$(SUITES)' >&2; exit 1; }
	$(MAKE) docs PROFILE=dev

# Where the tests of `--test` are: whoever runs them beside something else that cargo works for would wait for that.
SUITES = $(or $(CARGO_TARGET_DIR),target)/debug/suites

demo: PROFILE := dev
demo: setup
	@echo 'demo: building portero and a Debian tree to run it in; the first time takes about 5 minutes'
	$(MAKE) -j 2 tree demo-programs
	$(IN_CELL) $(BUILT)/portero-demo

# With the features that tests build them with too: once for both.
.PHONY: demo-programs
demo-programs:
	$(CARGO) build --profile $(PROFILE) --locked --workspace
	$(MAKE) docs

# What every change has to pass: some minutes. The lab's part of it is in tests/core and mostly waits, so that the rest goes
# beside it.
test: PROFILE := dev
test: setup
	$(CARGO) fmt --all --check
	$(MAKE) -j 2 tree compile
	$(MAKE) -j 2 core checks

.PHONY: checks
checks: tree
	$(MAKE) unit programs
	$(CARGO) clippy --workspace --all-targets --locked --quiet -- -D warnings
	$(CARGO) clippy --workspace --test '*' --locked --quiet -- -D warnings

# Every suite in every cell with the programs as they are released, and what needs no cell. All are run, whichever fails.
# Three at a time, since they mostly wait; beside them the bridges of each tree, which do little else, and after these what
# nobody waits for.
test-all: setup
	$(MAKE) -j 2 compile trees ansible-core
	tests/prometheus '$(PROMETHEUS)'
	$(MAKE) build packages
	{ $(MAKE) -j 2 -k --output-sync=target $(BRIDGES); bridges=$$?; $(MAKE) unhurried && exit $$bridges; } & \
	$(MAKE) -j 3 -k --output-sync=target $(JOBS) ansible sandbox selinux; \
	others=$$?; wait $$! && exit $$others

# Programs are built for it, which what measures times shall not notice.
.PHONY: unhurried
unhurried:
	nice -n 19 $(MAKE) deny fuzz FUZZ_SECONDS=8

.PHONY: trees
trees: setup
	tests/roots $(TREES) $(foreach job,$(filter %/cockpit,$(JOBS)),$(word 2,$(subst /, ,$(job)))-cockpit) $(if $(filter none,$(MACHINE)),,machine) $(if $(MACHINE),,enforcing)

# Without a libvirt, but for its headers: seconds, not minutes, and no privileges.
unit:
	$(CARGO) test --locked --workspace

# Tests that call programs which hosts have and a machine for development need not.
programs: tree
	for test in completion import manual schema; do \
		tests/inside '$(TREE)' "$$(tests/suite '$(SUITES)' $$test)" || exit 1; \
	done
	tests/inside '$(TREE)' tests/exposure

# One scenario at least of everything that portero does.
core: PROFILE := dev
core: tree
	tests/inside '$(TREE)' $(MAKE) deb CARGO=true
	$(IN_CELL) PORTERO_PACKAGES='$(abspath $(PACKAGES))' tests/core '$(SUITES)'

TEST ?= forwarding
# One suite in the cell of `make test`; `make lab SCENARIO='part of a name'` runs some of its scenarios. CONTRIBUTING.md names
# the suites.
lab: PROFILE := dev
lab: setup $(filter cockpit,$(TEST))
	$(MAKE) -j 2 tree compile
	tests/inside '$(TREE)' $(MAKE) deb $(patsubst %,%-deb,$(filter cockpit,$(TEST))) CARGO=true
	$(if $(filter $(MACHINES),$(TEST)),tests/roots '$(TEST)')
	$(if $(filter metrics,$(TEST)),tests/prometheus '$(PROMETHEUS)')
	$(if $(filter ansible,$(TEST)),$(MAKE) ansible-core)
	$(if $(filter cockpit,$(TEST)),tests/roots '$(notdir $(TREE))-cockpit')
	$(if $(filter $(MACHINES),$(TEST)),$(ON_MACHINE),$(IN_CELL) $(if $(filter cockpit,$(TEST)),$(WITH_COCKPIT))) PORTERO_PACKAGES='$(abspath $(PACKAGES))' $(LAB) '$(TEST)' -- '$(SCENARIO)'

LAB := $(CARGO) test --locked --quiet --workspace --test
# What is run in each cell: first what measures times, then what takes longest.
LABS ?= soak policy forwarding faults attack migration ansible broken containers packages metrics
# Those that depend on which daemon does what: the others would try once more what Debian's own libvirt 11.3 is tried with.
MODULAR := policy forwarding soak migration broken containers
# What is left out of all this: TREE/FIREWALL/SUITE.
LEFT ?=
wanted = $(filter-out $(LEFT:%=job/%),$(1))
# Bridges of the host know no firewall, and `firewalls` knows both: one cell of each tree will do. Pages are tried where
# libvirt is one daemon, and where it is several.
ONCE := $(foreach tree,$(filter-out %-modular,$(TREES)),$(firstword $(filter $(tree)/%,$(CELLS))))
BRIDGES := $(call wanted,$(ONCE:%=job/%/bridges))
JOBS := $(if $(filter none,$(MACHINE)),,job/machine/nftables/machine) $(if $(MACHINE),,job/enforcing/nftables/enforcing) \
	$(call wanted,$(foreach lab,$(LABS),$(foreach cell,$(CELLS),$(if $(findstring -modular/,$(cell)),$(addprefix job/$(cell)/,$(filter $(MODULAR),$(lab))),job/$(cell)/$(lab)))) \
	$(ONCE:%=job/%/firewalls) \
	$(patsubst %,job/%/docs,$(filter bookworm/iptables trixie-modular/nftables,$(CELLS))) \
	$(patsubst %,job/%/cockpit,$(filter $(BROWSED),$(CELLS))))
.PHONY: $(BRIDGES) $(JOBS)

# One suite in one cell: job/TREE/FIREWALL/SUITE.
$(BRIDGES) $(JOBS): words = $(subst /, ,$@)
$(BRIDGES) $(JOBS):
	@echo '== $(@:job/%=%)'
	@start=$$(date +%s); \
	PORTERO_LAB_ROOT='$(ROOTS)/$(word 2,$(words))$(addprefix -,$(filter cockpit,$(word 4,$(words))))' PORTERO_LAB_BACKEND='$(word 3,$(words))' \
		PORTERO_PACKAGES='$(abspath $(PACKAGES))' $(LAB) '$(word 4,$(words))' $(if $(filter machine,$(word 4,$(words))),-- '$(MACHINE)') && \
	echo "== $(@:job/%=%): passed in $$(($$(date +%s) - start)) s"

# Ansible from PyPI. `ansible-core` is what runs playbooks in the lab; `ansible` runs ansible-test's sanity tests on the collection,
# and makes the file that ansible-galaxy installs.
ANSIBLE := target/ansible
ansible: ansible-core
	tests/ansible/run sanity '$(ANSIBLE)'

ansible-core: setup
	tests/ansible/run core '$(ANSIBLE)'

# libvirt 7.0, in a tree of Debian 11: its C library is older than those that programs are linked with elsewhere, so they are
# linked there, by this machine's Rust.
OLDEST ?= forwarding
.PHONY: oldest
oldest: export CARGO_TARGET_DIR := $(CURDIR)/target/bullseye
oldest: PROFILE := dev
oldest: setup
	tests/roots bullseye
	$(CARGO) fetch --locked --quiet
	mkdir -p '$(BUILT)'
	tests/inside '$(ROOTS)/bullseye' cargo build --offline --locked --workspace
	tests/inside '$(ROOTS)/bullseye' cargo test --offline --locked --workspace --no-run $(OLDEST:%=--test %) 2>'$(SUITES)' || { cat '$(SUITES)' >&2; exit 1; }
	$(MAKE) docs
	for suite in $(OLDEST); do \
		PORTERO_LAB_ROOT='$(ROOTS)/bullseye' PORTERO_LAB_BACKEND=iptables \
			"$$(tests/suite '$(SUITES)' "$$suite")" $(if $(SCENARIO),'$(SCENARIO)') || exit 1; \
	done

# The packages as they are released: made in a tree that has what makes them, and looked at.
packages: cockpit
	tests/inside '$(TREE)' $(MAKE) deb rpm cockpit-deb cockpit-rpm CARGO=true
	tests/inside '$(TREE)' tests/packages '$(abspath $(PACKAGES))' '$(realpath $(TREE))'

# portero-watch under a real systemd, in the tree, and SELinux's module against Debian's policy.
.PHONY: sandbox selinux
sandbox: tree build
	tests/sandbox '$(TREE)' '$(BUILT)'

selinux: setup
	tests/selinux

# Programs of cargo's that only tests use, and their versions.
TOOLS := $(ROOTS)/tools
CARGO_FUZZ := cargo-fuzz 0.13.2
CARGO_DENY := cargo-deny 0.20.2
CARGO_MUTANTS := cargo-mutants 27.1.0
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
	$(CARGO) fetch --locked --quiet
	'$(TOOLS)/bin/cargo-deny' --offline check bans licenses sources

# The same and what is known to be wrong with dependencies, which is fetched from https://github.com/rustsec/advisory-db.
audit: deny
	'$(TOOLS)/bin/cargo-deny' check advisories

# Which mutants: every so many of them, the same each time; `MUTANTS=0/1` all.
MUTANTS ?= 0/16

# Whether tests notice when the code that plans does something else: tests/mutants says how.
mutants:
	tests/tool '$(TOOLS)' $(CARGO_MUTANTS)
	PATH="$(abspath $(TOOLS))/bin:$$PATH" tests/mutants '$(MUTANTS)'

# Side by side with what each is measured against, in the tree, where the firewall's programs are. No tree has a compiler.
bench: tree build
	$(CARGO) build --release --locked -p portero-bench
	printf 'fn main() {}\n' | rustc -C target-feature=+crt-static -C opt-level=3 -C panic=abort -o '$(BUILT)/portero-noop' -
	tests/inside '$(TREE)' $(BUILT)/portero-bench

fmt:
	$(CARGO) fmt --all

clean:
	$(CARGO) clean
