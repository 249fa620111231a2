# Everything starts from a clone and Python 3.11 to 3.13: `make demo`, `make test`.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.made
# A server that is given has one set of roles, which two workers would fight over.
WORKERS ?= $(if $(TILLSYNC_TEST_DSN),0,2)

.PHONY: help venv demo test test-long test-lab lint format lock clean

help: ## what can be made here
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 20

venv: $(STAMP) ## .venv with the project and its test tools, as the lock file says

$(STAMP): requirements.lock pyproject.toml tools/venv.sh
	@tools/venv.sh $(VENV)

demo: venv ## a month of retail through central, relay and tills, with its proof
	@$(BIN)/tillsync demo $(ARGS)

lint: venv ## style, types, layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo --cache-dir .import_linter_cache

format: venv ## put the style right
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

test: lint ## the whole suite, on real PostgreSQL and SQLite
	$(BIN)/pytest -n $(WORKERS) --dist loadgroup -m 'not long' $(ARGS)

# How many examples the random tests draw in the large runs.
test-long: export TILLSYNC_ORACLE_EXAMPLES ?= 20000
test-long: export TILLSYNC_MERGE_ROWS ?= 1000
test-long: export TILLSYNC_MERGE_SEEDS ?= 5
test-long: export TILLSYNC_MODEL_EXAMPLES ?= 20000
test-long: export TILLSYNC_MODEL_STEPS ?= 50
test-long: export TILLSYNC_REAL_SCHEDULES ?= 500
test-long: export TILLSYNC_DRIFT_SCHEDULES ?= 300
test-long: export TILLSYNC_REAL_STEPS ?= 70
test-long: export TILLSYNC_HOSTILE_EXAMPLES ?= 1000
test-long: export TILLSYNC_ROUND_TRIP_EXAMPLES ?= 20000
test-long: export TILLSYNC_TILL_SEQUENCES ?= 1000
test-long: export TILLSYNC_CAPTURE_SEQUENCES ?= 2000
test-long: export TILLSYNC_MOVE_SEQUENCES ?= 500
test-long: export TILLSYNC_VIEW_EXAMPLES ?= 1000
test-long: export TILLSYNC_TICKS ?= 50000
test-long: export TILLSYNC_LANE_SEEDS ?= 20
test-long: export TILLSYNC_LANE_STEPS ?= 150
test-long: export TILLSYNC_RECONCILE_EXAMPLES ?= 500
test-long: lint ## with the large runs
	$(BIN)/pytest -n $(WORKERS) --dist loadgroup --timeout 3600 $(ARGS)

test-lab: venv ## the lab on a Docker engine: a given one, or one that root starts
	@tools/engine.sh
	$(BIN)/pytest -m long --timeout 2400 tests/acceptance/test_lab.py $(ARGS)

lock: ## renew requirements.lock
	@tools/lock.sh requirements.lock

clean: ## remove all that was made here
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis demo-data
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
