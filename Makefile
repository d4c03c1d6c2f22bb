# make run    everything a studio needs, on http://127.0.0.1:8000; Ctrl-C stops it
# make test   installs what the tests need and runs all of them
# make check  the round before a commit: format, lint, types, migrations, import contracts, then the fast tests
# make test-postgres   the fast tests on a PostgreSQL server that is started for them and thrown away
# make bench  how fast it is, against a plain loop; make bench-starter: what the starter model draws
# make format, make lint, make types, make lock-check, make clean
# ARGS="…" is handed on to pytest and the benchmarks: make test ARGS="tests/ops -x"

VENV := .venv
BIN := $(VENV)/bin
# The build of PyTorch for machines without an NVIDIA GPU: 0.2 GB instead of the 3 GB that come with CUDA.
# Point it at a mirror of your own, or set it empty to take whatever pip finds first.
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu
# What the tests start besides Python: COMMAND:DEBIAN-PACKAGE.
TEST_PROGRAMS := chromium:chromium initdb:postgresql redis-server:redis-server
POSTGRES_BIN := $(lastword $(sort $(wildcard /usr/lib/postgresql/*/bin)))
PYTEST ?= $(BIN)/python -m pytest
PACKAGES := imagineer gallery training tests conftest.py manage.py

RUN_STAMP := $(VENV)/.installed-$(firstword $(shell cksum < requirements.txt))
DEV_STAMP := $(VENV)/.installed-dev-$(firstword $(shell cat requirements.txt requirements-dev.txt | cksum))

.PHONY: run install install-dev debian test test-postgres check format types lint bench bench-starter lock-check help clean

run: $(RUN_STAMP)
	@exec $(BIN)/python manage.py run --follow-parent

install: $(RUN_STAMP)
install-dev: $(DEV_STAMP)

$(BIN)/python:
	@for python in $(PYTHON) python3 python3.13 python3.12 python3.11 python3.14; do \
	  $$python -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))' 2> /dev/null || continue; \
	  found=$$python; \
	  $$python -c 'import ensurepip, venv' 2> /dev/null || continue; \
	  echo "Making a virtual environment in $(VENV) with $$($$python --version)"; \
	  exec $$python -m venv $(VENV); \
	done; \
	if [ -n "$$found" ]; then \
	  echo "$$found can't make virtual environments. On Debian or Ubuntu: sudo apt-get install python3-venv"; \
	else \
	  echo "Imagineer needs Python 3.11 to 3.14, and none was found. Install one, or say where it is: make run PYTHON=/path/to/python3.12"; \
	fi >&2; exit 1

# The stamps carry a checksum of the lists, so that a start installs only when a list has changed.
$(RUN_STAMP): | $(BIN)/python
	@$(BIN)/python -m pip --version > /dev/null 2>&1 || $(BIN)/python -m ensurepip
	@torch=$$(grep '^torch==' requirements.txt); \
	[ -z "$(TORCH_INDEX)" ] || [ "$$(uname -s)" != Linux ] || [ -e /proc/driver/nvidia ] || command -v nvidia-smi > /dev/null || \
	$(BIN)/python -c "from importlib.metadata import version as v; exit(v('torch').partition('+')[0] != '$${torch#torch==}')" 2> /dev/null || { \
	  echo "No NVIDIA GPU found: taking the CPU build of $$torch from $(TORCH_INDEX)"; \
	  $(BIN)/python -m pip install --no-deps --retries 1 --timeout 30 --index-url "$(TORCH_INDEX)" "$$torch" || \
	  echo "It can't be had from there: taking what the usual package index offers, which may be the large CUDA build."; \
	}
	$(BIN)/python -m pip install -r requirements.txt
	@rm -f $(VENV)/.installed-[0-9]*; touch $@

$(DEV_STAMP): | $(RUN_STAMP)
	$(BIN)/python -m pip install -r requirements.txt -r requirements-dev.txt
	@rm -f $(VENV)/.installed-dev-*; touch $@

debian:
	@missing=""; for program in $(TEST_PROGRAMS); do \
	  PATH="$$PATH:$(POSTGRES_BIN)" command -v "$${program%%:*}" > /dev/null || missing="$$missing $${program##*:}"; \
	done; \
	if [ -z "$$missing" ]; then exit 0; fi; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get > /dev/null; then \
	  export DEBIAN_FRONTEND=noninteractive; \
	  apt-get update -qq && apt-get install -y -qq --no-install-recommends $$missing; \
	else \
	  echo "The tests need these Debian packages:$$missing. Install them: sudo apt-get install --no-install-recommends$$missing" >&2; exit 1; \
	fi

# All of it, in a real browser, against real PostgreSQL and Redis servers.
test: $(DEV_STAMP) debian
	$(PYTEST) $(ARGS)

test-postgres: $(DEV_STAMP) debian
	$(BIN)/python -m tests.postgres $(PYTEST) -m "not slow" $(ARGS)

check: lint types $(DEV_STAMP)
	$(PYTEST) -m "not slow" $(ARGS)

lint: $(DEV_STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/python manage.py makemigrations --check --dry-run
	$(BIN)/lint-imports
	$(BIN)/djlint templates --lint --quiet
	$(BIN)/hadolint Dockerfile

types: $(DEV_STAMP)
	$(BIN)/mypy $(PACKAGES)

format: $(DEV_STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(DEV_STAMP)
	$(BIN)/python -m tests.bench $(ARGS)

bench-starter: $(DEV_STAMP)
	$(BIN)/python -m training.starter.evaluate $(ARGS)

# Fails when a fresh install would take another version of anything than the one that is here.
lock-check: $(DEV_STAMP)
	$(BIN)/python -m pip check
	@$(BIN)/python -m pip install --quiet --dry-run --report - -r requirements.txt -r requirements-dev.txt \
	| $(BIN)/python -c "import json, sys; new = [p['metadata'] for p in json.load(sys.stdin)['install']]; \
	sys.exit('Not what is installed: ' + ', '.join(f\"{p['name']} {p['version']}\" for p in new) if new else 0)"

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

help:
	@sed -n 's/^# make/make/p' $(MAKEFILE_LIST)
