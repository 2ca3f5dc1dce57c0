# Two commands matter: `make run` starts MLX Harmony, `make test` proves that it works. Both do all their own set-up.

SHELL := /bin/sh
VENV := .venv
BIN := $(VENV)/bin
OS := $(shell uname -s)
ARGS ?=

# MLX comes as a plain wheel on a Mac, with a CPU back end on Linux, and with CUDA where an NVIDIA driver answers.
EXTRA := $(shell if [ "$(OS)" = Darwin ]; then :; elif nvidia-smi >/dev/null 2>&1; then echo cuda; else echo cpu; fi)
comma := ,
RUN_EXTRAS := $(if $(EXTRA),[$(EXTRA)])
TEST_EXTRAS := [$(if $(EXTRA),$(EXTRA)$(comma))test,dev]

# The newest Python in range that can really make a virtual environment (a pyenv shim may exist and still not run).
IN_RANGE := import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do $$p -c '$(IN_RANGE)' >/dev/null 2>&1 && { echo $$p; break; }; done)

.PHONY: help run test check format bench docs clean
.DEFAULT_GOAL := help

help:
	@echo 'make run     install, start MLX Harmony and open the browser (ARGS="--port 8000" passes flags on)'
	@echo 'make test    install what the tests need and run them all'
	@echo 'make check   ruff, formatting and strict types'
	@echo 'make format  let ruff rewrite the files'
	@echo 'make bench   the engine, the page and the Starter, measured'
	@echo 'make docs    write the tables of modules, check the links and tables of docs/'
	@echo 'make clean   remove the virtual environment and build products'

run: $(VENV)/.run
	@exec $(BIN)/mlx-harmony serve $(ARGS)

test: $(VENV)/.test $(VENV)/.system
	@$(BIN)/python -m pytest -n 2 --dist loadfile --cov --cov-report=term:skip-covered --cov-report=xml --cov-fail-under=85 $(ARGS)

check: $(VENV)/.test
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

format: $(VENV)/.test
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: $(VENV)/.test
	@$(BIN)/python -m benchmarks $(ARGS)

docs: $(VENV)/.test
	@$(BIN)/python docs/write_modules.py
	@$(BIN)/python -m pytest -q --no-header tests/test_house_docs.py

clean:
	rm -rf $(VENV) dist build .coverage .coverage.* coverage.xml .pytest_cache .mypy_cache .ruff_cache

$(BIN)/python:
	@if [ -z "$(PYTHON)" ]; then \
		echo 'MLX Harmony needs Python 3.11, 3.12 or 3.13 with its venv module, and found none.' >&2; \
		echo 'Debian and Ubuntu: apt install python3-venv. macOS: brew install python@3.13. Or name one: make run PYTHON=/path/to/python3' >&2; \
		exit 1; \
	fi
	@echo "Making $(VENV) with $$($(PYTHON) --version)" >&2
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.run: pyproject.toml | $(BIN)/python
	@echo 'Installing MLX Harmony$(if $(EXTRA), (with $(EXTRA) support)): a minute the first time' >&2
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.$(RUN_EXTRAS)'
	@touch $@

$(VENV)/.test: pyproject.toml | $(BIN)/python
	@echo 'Installing MLX Harmony with its tests$(if $(EXTRA), (with $(EXTRA) support)): a minute or two the first time' >&2
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.$(TEST_EXTRAS)'
	@touch $@ $(VENV)/.run

# A browser to drive, and on Linux a fast BLAS for mlx: from Debian's packages as root, else Playwright's own browser.
$(VENV)/.system: .ci/system-packages | $(VENV)/.test
	@PATH="$(CURDIR)/$(BIN):$$PATH" .ci/system-packages
	@touch $@
