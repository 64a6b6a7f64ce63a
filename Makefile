# Two commands: `make lab` opens JupyterLab on the quickstart, `make test` runs all tests. Both set everything up first.
# The stages are their own targets (`make help`); the environment is .venv, what is done is noted in .env-stamps.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

VENV := .venv
BIN := $(CURDIR)/$(VENV)/bin
STAMPS := .env-stamps
PYTHON ?= $(shell command -v python3.11 || command -v python3)
export PATH := $(BIN):$(PATH)
export UV_COMPILE_BYTECODE := 1
# The machine's own certificates, as pip uses them: behind a company's proxy there are no others.
export UV_SYSTEM_CERTS := true
export PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD := 1
# Start-up is imports, and imports cost twice as much without bytecode.
unexport PYTHONDONTWRITEBYTECODE
unexport VIRTUAL_ENV

SOURCES := $(shell find src style schema -type f 2>/dev/null) package.json tsconfig.json

.PHONY: help lab test setup lint jest peers table pytest perf wheel ui-tests format clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

lab: setup ## set up and open JupyterLab on the quickstart notebook
	@scripts/lab.sh

test: setup lint jest table pytest perf wheel ui-tests ## set up and run everything: lint, jest, pytest, clean wheel, browser

setup: $(STAMPS)/develop ## environment, front end, editable install

$(STAMPS)/venv:
	@mkdir -p $(STAMPS)
	@test -n "$(PYTHON)" || { echo "Python 3.10 or newer is needed: install python3.11"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@touch $@

$(STAMPS)/python: $(STAMPS)/venv pyproject.toml
	@scripts/requirements.py > $(STAMPS)/requirements.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python -r $(STAMPS)/requirements.txt
	@touch $@

$(STAMPS)/node: $(STAMPS)/venv
	@scripts/node.sh
	@touch $@

$(STAMPS)/jlpm: $(STAMPS)/python $(STAMPS)/node package.json yarn.lock .yarnrc.yml
	jlpm install --immutable
	@touch $@

$(STAMPS)/frontend: $(STAMPS)/jlpm $(SOURCES)
	jlpm clean:all
	jlpm build:prod
	@touch $@

$(STAMPS)/develop: $(STAMPS)/python $(STAMPS)/frontend
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-build-isolation --no-deps -e .
	jupyter-builder develop . --overwrite
	@touch $@

lint: $(STAMPS)/develop ## ruff, mypy, import-linter, eslint, prettier, stylelint
	ruff check .
	ruff format --check .
	mypy
	lint-imports
	jlpm lint:check

format: $(STAMPS)/develop ## what the linters can mend by themselves
	ruff check --fix .
	ruff format .
	jlpm lint

jest: $(STAMPS)/jlpm ## unit tests of the browser side
	jlpm test

peers: $(STAMPS)/develop ## the other frameworks' and clients' environments that the tests use
	python tests/peers.py

# First, and alone: it makes the environments of the servers that are not ours, which other tests then find.
table: peers ## each format on each server over each protocol, served for real
	python -m pytest tests/table -n 2

pytest: peers ## Python tests: real processes, sockets and SQLite
	python -m pytest tests --ignore tests/perf --ignore tests/table -n 2

perf: peers ## only the tables of ratios
	python -m pytest tests/perf -s -p no:randomly

wheel: $(STAMPS)/develop ## a clean wheel installs and runs where there is no Node
	scripts/wheel.sh

ui-tests: $(STAMPS)/develop ## the main job in headless Chromium, with screenshots
	@scripts/ui-tests.sh

clean: ## remove the environment and all that was built
	rm -rf $(VENV) $(STAMPS) node_modules ui-tests/node_modules lib dist kale_serve_lab/labextension
