# One way to do each thing. Every target makes what it needs; a second run is quick.
# Everything lies in this folder: the environment in .venv, Rayton's own things in .rayton.

PYTHON ?= python3.11
export RAYTON_HOME ?= $(CURDIR)/.rayton
BIN := .venv/bin
SETUP := .venv/.complete

.PHONY: setup runtime demo test check bench

setup: $(SETUP)

$(SETUP): pyproject.toml constraints.txt
	@echo 'installing into .venv; this takes a minute or two'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[export,score,demo,dev]'
	touch $@

runtime: setup
	@$(BIN)/rayton runtime install >/dev/null

demo: runtime
	$(BIN)/python -m demo.run .rayton/demo

test: runtime
	$(BIN)/python -m pytest

check: setup
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: runtime
	$(BIN)/python -m benchmarks.texts
	$(BIN)/python -m benchmarks.images
	$(BIN)/python -m benchmarks.transport
	$(BIN)/python -m benchmarks.nodes
	$(BIN)/python -m benchmarks.sharing
	$(BIN)/python -m benchmarks.timeline burst
	$(BIN)/python -m benchmarks.timeline kills
	$(BIN)/python -m benchmarks.timeline own
	$(BIN)/python -m benchmarks.jobs
	$(BIN)/python -m benchmarks.memory
	$(BIN)/python -m benchmarks.million
	$(BIN)/python -m benchmarks.many_objects
	$(BIN)/python -m benchmarks.precision
	$(BIN)/python -m benchmarks.big_model
