# Two commands matter: `make demo` and `make test`. Both work on a fresh machine with Python 3.11 or later.
# Everything they need is installed or built by them: into .venv here, and into a cache outside the repository.

SHELL      := /bin/bash
PYTHON     ?= python3
VENV       := .venv
BIN        := $(VENV)/bin
READY      := $(VENV)/.ready
PYTEST     := KUBEAGENT_NEED_CLUSTER=1 $(BIN)/coverage run -m pytest -q
export PATH := $(CURDIR)/$(BIN):$(PATH)

.DEFAULT_GOAL := help
.PHONY: help demo test check unit live bench generate format lock install uninstall run cluster clean

help: ## Show this list
	@awk -F':.*## ' '/^[a-z]+:.*## /{printf "  %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(READY): requirements/dev.lock pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

demo: $(READY) ## Break a small shop on a throw-away cluster and watch it being diagnosed
	@$(BIN)/python -m tests.cluster run --image docker.io/library/busybox:1.36 -- kubeagent demo --yes

test: check ## All checks and all tests, the real ones too; branch coverage at least 80 %
	@test "$$KUBEAGENT_USE_CLUSTER" = 1 || $(BIN)/python -m tests.cluster build
	@coverage erase
	@$(PYTEST) -n 2 tests/unit tests/contract
	@$(PYTEST) tests/integration tests/e2e
	@coverage combine --quiet && coverage report --skip-empty

check: $(READY) ## Format, lint, types, import contracts, generated files
	@ruff format --check --quiet . || (echo "run: make format" >&2; exit 1)
	@ruff check --quiet .
	@mypy
	@lint-imports --no-cache
	@$(BIN)/python -m kubeagent.cli.generate --check

unit: $(READY) ## Unit tests only: no cluster, no NATS, seconds
	@$(BIN)/python -m pytest -q tests/unit

live: $(READY) ## The live tests alone
	@$(BIN)/python -m pytest -q tests/integration tests/e2e

bench: $(READY) ## Measure, and print the figures of docs/benchmarks.md
	@$(BIN)/python -m tests.bench

generate: $(READY) ## Write the CRDs, the charts' files and the reference pages from their sources
	@$(BIN)/python -m kubeagent.cli.generate

format: $(READY) ## Format and fix what can be fixed
	@ruff check --fix --quiet . ; ruff format --quiet .

lock: $(READY) ## Resolve the dependencies anew, a week behind the newest, and write the hashes
	@uv lock --quiet --upgrade --exclude-newer "$$(date -u -d '7 days ago' +%F)"
	@uv export --quiet --frozen --no-header --no-annotate --all-groups --all-extras --no-emit-project > requirements/dev.lock
	@rm uv.lock

install: $(READY) ## Apply kinds, policies and roles to the current context
	@kubeagent install

run: $(READY) ## NATS, hub and agent on this machine against the current context
	@kubeagent run

uninstall: $(READY) ## Remove what install applied
	@kubeagent uninstall

cluster: $(READY) ## A shell with a throw-away cluster
	@$(BIN)/python -m tests.cluster run -- $${SHELL:-bash}

clean: ## Remove what was built here (not the cache)
	@rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .coverage*
