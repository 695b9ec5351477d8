# make demo   the ECG example on four devices, in one table
# make test   the whole suite
# make check  style, types, direction of imports, freshness of docs
# Each sets up what it needs in .venv; PYTHON=... chooses the interpreter.

SHELL := /bin/bash
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

BIN := .venv/bin
PIP := $(BIN)/python -m pip install -qq --disable-pip-version-check --constraint constraints.txt
FITS := import sys; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	if $$p -c "$(FITS)" 2>/dev/null; then echo $$p; break; fi; done)
WORKERS ?= 2

ifneq ($(wildcard ../shared/data),)
export TRINE_DATA ?= $(abspath ../shared/data)
endif

.PHONY: help demo test check lint types imports docs docs-check readme clean

help:
	@sed -n 's/^# \(make .*\)/\1/p; s/^# Each/Each/p' Makefile

.venv/made:
	@[ -n "$(PYTHON)" ] && $(PYTHON) -c "$(FITS)" 2>/dev/null || \
		{ echo "Trine needs Python 3.11 or newer; give it as: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -m venv .venv || { echo "no venv module: on Debian, apt-get install python3-venv" >&2; exit 1; }
	@touch $@

.venv/demo: .venv/made pyproject.toml constraints.txt
	@echo "setting up .venv (a few minutes the first time)" >&2
	@$(PIP) --editable '.[verify,data]'
	@touch $@

.venv/dev: .venv/made pyproject.toml constraints.txt
	@echo "setting up .venv with the tools of development (a few minutes the first time)" >&2
	@$(PIP) --editable '.[dev]'
	@$(PIP) --no-deps neurobench tqdm  # the oracle of our counts; its own needs would bring another torch
	@$(PIP) amazon-braket-default-simulator backoff boltons boto3 nest-asyncio openpulse oqpy
	@$(PIP) --no-deps amazon-braket-sdk  # demands a version of cloudpickle that dask and joblib refuse
	@touch $@ .venv/demo

demo: .venv/demo
	$(BIN)/trine demo

# lava-nc cannot live beside numpy 2: it has an environment of its own, the oracle of the spiking engine.
.venv/lava: .venv/dev
	@echo "setting up lava-nc's side environment" >&2
	@$(BIN)/trine lava doctor >/dev/null 2>&1 || $(BIN)/trine lava setup
	@touch $@

# SANA-FE (GPL-3) stays a program apart: an environment of its own, asked through a process by tests alone.
.venv/sanafe: .venv/dev
	@echo "setting up SANA-FE's side environment" >&2
	@$(PYTHON) -m venv --clear .venv/sanafe-env
	@.venv/sanafe-env/bin/python -m pip install -qq --disable-pip-version-check sanafe==2.2.9
	@touch $@

test: export TRINE_SANAFE_PYTHON := $(abspath .venv/sanafe-env/bin/python)
test: .venv/lava .venv/sanafe
	$(BIN)/pytest --numprocesses $(WORKERS) --dist loadfile --durations 40

check: lint types imports docs-check

lint: .venv/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check --quiet .

types: .venv/dev
	$(BIN)/mypy --strict

imports: .venv/dev
	$(BIN)/lint-imports

docs: .venv/dev
	$(BIN)/python docs/generate.py

docs-check: .venv/dev
	$(BIN)/python docs/generate.py --check

readme: .venv/dev
	$(BIN)/python docs/generate.py --demo

clean:
	rm -rf .venv build dist demo .hypothesis .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
	rm -rf src/trine.egg-info
	find . -name __pycache__ -prune -exec rm -rf {} +
