# Leadkeeper. `make` lists the targets.
PY := .venv/bin/python
PYTHON ?= python3
PYTEST := $(PY) -m pytest -n 2 --dist worksteal

# what is compiled is kept: the tests start some hundred processes
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo serve test suite coverage test-fast check client-check bench simulate openapi lock clean

help:  ## this list
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' Makefile

.venv/installed: requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Leadkeeper needs Python 3.11 or newer; this is " + sys.version.split()[0] + ". Set PYTHON=python3.12, say.")'
	@$(PY) -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv .venv
	$(PY) -m pip install --quiet --disable-pip-version-check --no-deps --no-compile --require-hashes -r requirements.lock
	@$(PY) -m compileall -q -j 0 .venv/lib || true
	$(PY) -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps --editable .
	@touch $@

demo: .venv/installed  ## watch Postgres, Airtable and Instantly come to agreement, all local (ONCE=1 exits afterwards)
	@$(PY) -m app.cli demo $(if $(ONCE),--once)

serve: .venv/installed  ## run the service for real, with the settings of .env
	@$(PY) -m app.cli serve

test: .venv/installed  ## everything that must hold: format, lint, types, contracts, migrations, docs, tests, coverage of the domain
ifdef ARGS
test: suite
else
	@$(MAKE) --no-print-directory --jobs=2 check coverage suite
endif

suite: .venv/installed
	$(PYTEST) --durations=10 $(ARGS)

# by named cases alone: what only a law tried on many examples reaches counts as not covered
coverage: .venv/installed
	$(PY) -m pytest -q tests/domain --confcutdir=tests/domain --cov -m "not hypothesis and not slow"

test-fast: .venv/installed  ## the tests without the slow ones
	$(PY) -m pytest -n 2 -m "not slow and not by_hand" -q $(ARGS)

check: .venv/installed  ## formatting, ruff, mypy strict, import contracts
	$(PY) -m ruff format --check --quiet .
	$(PY) -m ruff check --quiet .
	$(PY) -m mypy --no-error-summary
	.venv/bin/lint-imports --config pyproject.toml --no-logo

client-check: .venv/installed  ## generate a TypeScript client from the document, compile it strictly, use it (needs npm)
	$(PY) -m tests.client

bench: .venv/installed  ## measure (ONLY=name for one figure)
	$(PY) -m app.cli bench $(if $(ONLY),--only $(ONLY))

simulate: .venv/installed  ## the laws, the storm and the crashes for as long as you like (SEED=, CYCLES=, KILLS=, EXAMPLES=, MUTANTS=, DELIVERIES=)
	$(PY) -m app.cli simulate $(if $(SEED),--seed $(SEED)) $(if $(CYCLES),--cycles $(CYCLES)) $(if $(KILLS),--kills $(KILLS)) \
		$(if $(EXAMPLES),--examples $(EXAMPLES)) $(if $(MUTANTS),--mutants $(MUTANTS)) \
		$(if $(DELIVERIES),--deliveries $(DELIVERIES))

openapi: .venv/installed  ## write openapi/openapi.json, .env.example and the tables of the README
	$(PY) -m app.cli openapi

LOCK := uv pip compile pyproject.toml --quiet --upgrade --universal --python-version 3.11 \
	--generate-hashes --no-emit-index-url --no-annotate --no-header
lock:  ## resolve the dependencies again; needs uv
	@command -v uv >/dev/null || { echo "make lock needs uv: install it with pip install uv."; exit 1; }
	@mkdir -p .lock
	$(LOCK) -o .lock/runtime
	$(LOCK) -c .lock/runtime --extra dev -o .lock/all
	@awk 'NR == 1 {print "# --- runtime"} NR == FNR {if (/^[a-z]/) seen[$$1] = 1; print; next} \
		FNR == 1 {print "# --- development"} /^[a-z]/ {known = $$1 in seen} !known' .lock/runtime .lock/all > requirements.lock
	@rm -r .lock

clean:  ## remove what was installed and every cache; the data folder stays
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis .lock
