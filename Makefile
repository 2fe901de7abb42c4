# Everything here needs only Python 3.11 or newer and make; `make help` lists the targets.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
TOOLS := $(VENV)/tools
UV := $(TOOLS)/bin/uv
UV_VERSION := 0.13.9
PYTEST_ARGS ?=
TEST_PROCESSES ?= 3
LOCK_OPTIONS := --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url --quiet

.DEFAULT_GOAL := help
# Trust what the machine trusts: a company's mirror has a certificate of the company's.
export UV_SYSTEM_CERTS := 1
.PHONY: help setup serve test test-long lint fix check conformance bench lock wheel clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(UV):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Entrepot needs Python 3.11 or newer; set PYTHON=/path/to/python3.11" >&2; exit 1; }
	$(PYTHON) -m venv $(TOOLS)
	$(TOOLS)/bin/python -m pip --quiet --disable-pip-version-check install uv==$(UV_VERSION)

# Compiled at once: where Python is told to write no bytecode, every start and every command would do it again, for 1 s.
$(STAMP): $(UV) requirements-dev.lock pyproject.toml
	@test -x $(BIN)/python || $(UV) venv --quiet --allow-existing --python $(PYTHON) $(VENV)
	$(UV) pip sync --quiet --compile-bytecode --python $(BIN)/python --require-hashes requirements-dev.lock
	$(UV) pip install --quiet --python $(BIN)/python --no-deps --editable .
	$(BIN)/python -m compileall -q src
	@touch $(STAMP)

setup: $(STAMP) ## make the environment in .venv, and stop there

serve: $(STAMP) ## start the registry on http://127.0.0.1:5000, data in ./data
	@$(BIN)/entrepot serve

test: $(STAMP) ## run every test this machine can run (tools/install builds what Go clients they want)
	@$(BIN)/python -m pytest --numprocesses $(TEST_PROCESSES) --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS)

test-long: export ENTREPOT_TEST_LONG ?= 3
test-long: $(STAMP) ## for the night: races and properties with many more rounds and other examples in every run
	@$(BIN)/python -m pytest tests/durability tests/hostile tests/unit tests/functional/test_nobody_gains.py $(PYTEST_ARGS)

lint: $(STAMP) ## format, style, import directions, types
	@$(BIN)/ruff format --check --quiet . || { echo "run make fix"; exit 1; }
	@$(BIN)/ruff check --quiet .
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/mypy

fix: $(STAMP) ## format and mend what the linter can mend
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

check: lint wheel ## everything CI asks for beside the tests

conformance: $(STAMP) ## (after tools/install) the official OCI distribution suite, versions 1.1 and dev, every option on
	@$(BIN)/python -m pytest tests/conformance/registry $(PYTEST_ARGS)

bench: $(STAMP) ## compare with other registries on this machine, in one run
	@$(BIN)/python -m benchmarks

lock: $(UV) ## resolve the dependencies again: requirements.lock to run, requirements-dev.lock to work on it
	$(UV) pip compile pyproject.toml $(LOCK_OPTIONS) --upgrade --output-file requirements.lock
	$(UV) pip compile pyproject.toml --group dev --group peers $(LOCK_OPTIONS) --constraint requirements.lock \
		--upgrade --output-file requirements-dev.lock

wheel: $(STAMP) ## build the wheel and the source archive into dist/
	@$(UV) build --quiet --out-dir dist

clean: ## remove the environment and what was built (never ./data)
	rm -rf $(VENV) dist build
