# One way to do each thing. Every target makes what it needs; a second run is quick.
# Everything lies in this folder: the environment in .venv, Rayton's own things in .rayton.

PYTHON ?= python3.11
export RAYTON_HOME ?= $(CURDIR)/.rayton
BIN := .venv/bin
SETUP := .venv/.complete
# Those that need all of a machine, one after the other, and beside them those that do not.
WHOLE_TESTS := tests/pages tests/drills tests/integration --ignore tests/integration/exports
LIGHT_TESTS := tests/integration/exports tests/contract tests/simulation tests/security tests/unit

# Known holes: where they are asked for, whether somebody answers there, and which are known.
# CVE-2023-48022 is not counted: who reaches Ray's ports runs code on its nodes, and Ray's makers mean it so; see SECURITY.md.
AUDIT_URL ?= https://api.osv.dev/v1/query
AUDITOR := .rayton/audit/bin/pip-audit
CAN_BE_ASKED = curl --silent --fail --max-time 10 --output /dev/null \
	--data '{"package": {"ecosystem": "PyPI", "name": "pip"}, "version": "9.0.0"}' '$(AUDIT_URL)'
KNOWN_HOLES = $(AUDITOR) --strict --no-deps --disable-pip --progress-spinner off --ignore-vuln CVE-2023-48022 \
	--vulnerability-service osv --osv-url '$(AUDIT_URL)'

# The images: what builds them, and from what; empty is what the Dockerfiles say. docker/README.md explains.
BUILDER ?= docker
BUILD_OPTIONS ?=
BASE ?=
BASE_DIGEST ?=
SERVER ?= nvidia
SERVER_BASE ?=
SERVER_BASE_DIGEST ?=
TORCH_INDEX ?=
VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
REVISION := $(shell git rev-parse --verify --quiet HEAD)
IMAGES := image-server image-worker image-exporter
BUILD = $(BUILDER) build --file docker/$*.Dockerfile --tag rayton-$*:$(VERSION) \
	--build-arg VERSION=$(VERSION) --build-arg REVISION=$(REVISION) $(BUILD_OPTIONS)
argument = $(if $2,--build-arg $1=$2)

.PHONY: setup runtime demo docs test test-whole test-light test-light-at-its-end drills check fuzz audit audit-if-answered bench images images-demo $(IMAGES)

setup: $(SETUP)

$(SETUP): pyproject.toml constraints.txt
	@echo 'installing into .venv; this takes a minute or two'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[export,score,observe,report,docs,demo,dev]'
	touch $@

runtime: setup
	@$(BIN)/rayton runtime install >/dev/null

demo: runtime
	$(BIN)/python -m demo.run .rayton/demo

docs: setup
	$(BIN)/python -m sphinx -W -q docs build/docs
	@echo 'build/docs/index.html'

test: runtime $(AUDITOR)
	@$(MAKE) --no-print-directory --jobs 2 --keep-going test-whole test-light-at-its-end

test-whole: runtime
	$(BIN)/python -m pytest --durations 10 $(WHOLE_TESTS)

test-light: runtime $(AUDITOR)
	$(BIN)/python -m pytest --durations 10 $(LIGHT_TESTS)

# The few drills of `make test` strike each victim; these do so several times.
drills: runtime
	DRILLS=many $(BIN)/python -m pytest --durations 10 tests/drills

# What two suites print at the same time nobody can read.
test-light-at-its-end:
	@$(MAKE) --no-print-directory test-light >.rayton/test-light.txt 2>&1; status=$$?; \
		cat .rayton/test-light.txt; exit $$status

check: setup
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/hadolint docker/*.Dockerfile
	$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec docker/compose.yaml
	@$(MAKE) --no-print-directory audit-if-answered

images: $(IMAGES)

image-server: image-%:
	$(BUILD) --target $(SERVER) $(call argument,BASE,$(SERVER_BASE)) \
		$(call argument,BASE_DIGEST,$(SERVER_BASE_DIGEST)) .

image-worker: image-%:
	$(BUILD) $(call argument,BASE,$(BASE)) $(call argument,BASE_DIGEST,$(BASE_DIGEST)) .

image-exporter: image-%:
	$(BUILD) $(call argument,BASE,$(BASE)) $(call argument,BASE_DIGEST,$(BASE_DIGEST)) \
		$(call argument,PIP_EXTRA_INDEX_URL,$(TORCH_INDEX)) .

images-demo: setup
	BUILDER='$(BUILDER)' $(BIN)/python -m demo.containers $(VERSION) .rayton/containers

# Draws anew in each run, for a quarter of an hour; what fails stays in .hypothesis and is tried first the next time.
fuzz: runtime
	HYPOTHESIS_PROFILE=long $(BIN)/python -m pytest tests/security/test_fuzz.py tests/security/test_fuzz_output.py

# Known holes of every pinned version, of ours and of those in the embedded server's environment. The tool is no dependency of ours: it has an environment of its own.
audit: setup $(AUDITOR)
	@$(CAN_BE_ASKED) || { echo 'audit: NOT passed: $(AUDIT_URL) gives no answer' >&2; exit 1; }
	@$(BIN)/python -c 'from triton_models.server.runtime import packages; \
		print(*{*packages(gpu=False), *packages(gpu=True)}, sep="\n")' >.rayton/audit/server.txt
	@$(KNOWN_HOLES) --requirement constraints.txt
	@$(KNOWN_HOLES) --requirement .rayton/audit/server.txt

audit-if-answered:
	@if $(CAN_BE_ASKED); then $(MAKE) --no-print-directory audit; \
		else echo 'audit: NOT done: $(AUDIT_URL) gives no answer' >&2; fi

$(AUDITOR):
	@$(PYTHON) -m venv .rayton/audit
	@.rayton/audit/bin/python -m pip install --quiet --disable-pip-version-check pip-audit==2.10.1

bench: runtime
	$(BIN)/python -m benchmarks.texts
	$(BIN)/python -m benchmarks.images
	$(BIN)/python -m benchmarks.transport
	$(BIN)/python -m benchmarks.nodes
	$(BIN)/python -m benchmarks.sharing
	$(BIN)/python -m benchmarks.bound
	$(BIN)/python -m benchmarks.timeline burst
	$(BIN)/python -m benchmarks.timeline kills
	$(BIN)/python -m benchmarks.timeline own
	$(BIN)/python -m benchmarks.jobs
	$(BIN)/python -m benchmarks.memory
	$(BIN)/python -m benchmarks.million
	$(BIN)/python -m benchmarks.many_objects
	$(BIN)/python -m benchmarks.precision
	$(BIN)/python -m benchmarks.big_model
