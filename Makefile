# Everything here is cargo with the right arguments; `make help` lists it.

CARGO ?= cargo

.PHONY: build test lint bench quality run peers help
.DEFAULT_GOAL := build

build: ## the release binary, target/release/forewarn
	$(CARGO) build --locked --release

# Tests note what they skip in this file. With CI=true a skip is a failure instead.
SKIPPED := $(CURDIR)/target/skipped-tests

test: peers ## install what tests need, as far as this machine has the tools, and run all; says at the end what was skipped
	@mkdir -p $(dir $(SKIPPED)) && rm -f $(SKIPPED)
	@status=0; FOREWARN_SKIPPED=$(SKIPPED) $(CARGO) test --locked --no-fail-fast || status=$$?; \
	if [ -s $(SKIPPED) ]; then echo "skipped, $$(sort -u $(SKIPPED) | wc -l) in all:"; sort -u $(SKIPPED) | sed 's/^/  /'; \
	else echo "nothing was skipped"; fi; exit $$status

lint: ## formatting, clippy and documentation, warnings as errors
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets -- -D warnings
	RUSTDOCFLAGS=-Dwarnings $(CARGO) doc --locked --no-deps

bench: ## all benchmarks
	$(CARGO) bench --locked --bench '*'

quality: build ## figures of detection and forecasts, on the corpora in ../shared/quality
	FOREWARN=$${CARGO_TARGET_DIR:-target}/release/forewarn scripts/quality.sh

run: ## forewarn with the configuration in this folder
	$(CARGO) run --locked --release

peers: ## Prometheus, Alertmanager and node_exporter from Debian, Kafka from Maven Central, a Collector from the Go proxy
	scripts/install-test-peers.sh
	scripts/fetch-prometheus-3.sh
	scripts/fetch-kafka.sh
	scripts/build-collector.sh
	scripts/build-otlp-reference.sh

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-7s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
