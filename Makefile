# The index of recipes. Logic longer than a line lives in scripts/.
.DEFAULT_GOAL := help
.PHONY: help build test lint gen gen-check layers demo bench deny sim e2e

help: ## print this index
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## build every binary (target/debug; `make build RELEASE=1` for target/release)
	cargo build --locked --workspace $(if $(RELEASE),--release)

test: ## run every test on this machine, installing what they need first
	scripts/test.sh

sim: ## the seeded simulation alone: make sim SCHEDULES=20000 SEED=1
	scripts/test.sh sim

e2e: ## the end-to-end tests alone
	scripts/test.sh e2e

lint: ## formatting and clippy, warnings are errors
	scripts/lint.sh

gen: ## write crds/yaml from the types
	cargo run --locked --quiet -p longshore-crds --bin longshore-crdgen

gen-check: ## fail when crds/yaml is stale
	cargo run --locked --quiet -p longshore-crds --bin longshore-crdgen -- --check

layers: ## check the direction of dependencies
	scripts/layers.sh

demo: ## see it work: a site, a device, a workload, and what happens when things break
	scripts/demo.sh

bench: ## measure: a table of ratios against a baseline in the same run
	scripts/bench.sh

deny: ## licences, bans and sources of all dependencies (needs cargo-deny)
	cargo deny --locked check licenses bans sources
