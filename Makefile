# Everything a person or a machine does with this project. `make help` lists it.
# All of it works as root in a container or a virtual machine, without Docker.

CARGO ?= cargo
# Scenarios of `make e2e`, rows of `make bench`: part of a name, or all.
ONLY ?=
# Built at once: each on its own would have other features, and be built anew.
BENCHED = controlplane proxy samples bench
E2E = $${CARGO_TARGET_DIR:-target}/quick-release/e2e

.PHONY: help demo demo-down test table check e2e bench images charts
.DEFAULT_GOAL := help

help: ## this list
	@sed -n 's/^\([a-z0-9-]*\):[^#]*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 20

demo: ## a cluster, the mesh, a Bookinfo, traffic, and a page that shows what happened
	e2e/images compile
	$(E2E) demo $(DEMO)

demo-down: ## remove all of what demo made
	e2e/images compile
	$(E2E) demo-down $(DEMO)

test: ## every unit and integration test, and the local mesh of real processes
	scripts/tools
	$(CARGO) build --workspace --bins
	$(CARGO) test --workspace

table: ## what rules do to requests, on our proxy and on a stock Envoy; ONLY=words of a file's name or a row's title
	scripts/tools
	$(CARGO) build --workspace --bins
	$(CARGO) test --workspace --test table -- $(ONLY)

check: ## format, lints, dependency rules; licences and bans if cargo-deny is there
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	scripts/dependency-rules
	@if command -v cargo-deny >/dev/null; then cargo-deny check bans licenses sources; \
	else echo 'licences and bans not checked: cargo install cargo-deny'; fi

e2e: ## scenarios on a real cluster: KUBECONFIG's with HUB, else one started here; ONLY=name picks, CHANGES=1000 makes churn last ten minutes
	e2e/images compile
	$(E2E) run $(ONLY:%=--only %)

bench: ## side by side with a stock Envoy; writes target/bench/results.json
	scripts/tools nginx wrk
	$(CARGO) build --release --bins $(BENCHED:%=-p trysail-%)
	$${CARGO_TARGET_DIR:-target}/release/trysail-bench $(ONLY)

images: ## container images as archives in target/images, without Docker; HUB and TAG name them
	e2e/images build

charts: ## write what is generated: CRDs, their field reference, and the operator's manifests as the chart renders them
	$(CARGO) run --quiet -p trysail-crds --bin generate-crds
	scripts/render-operator
