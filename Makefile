# The ways to run, check and build qbeat. `make` lists them; each brings what it needs into .venv.

VENV := .venv
BIN := $(VENV)/bin
DEMO_ARGS ?=
# make torture SEEDS=1000 FAULTS=10 TRIALS=5 KILLS=5
SEEDS ?= 20000
FAULTS ?= 100
TRIALS ?= 50
KILLS ?= 50
PYTEST_ARGS ?= -n 4 --dist loadgroup
# make bench CASE="burst rabbitmq" ENTRIES=1000 WRITE=docs/benchmarks.md
CASE ?=
BENCH_ARGS = $(if $(ENTRIES),--entries $(ENTRIES)) $(if $(REPEATS),--repeats $(REPEATS)) \
	$(if $(SECONDS),--seconds $(SECONDS)) $(if $(WRITE),--write $(WRITE))

UV := $(shell command -v uv)
# The first Python that is new enough; `make test PYTHON=python3.13` chooses another.
PYTHON ?= $(shell for name in python3 python3.11 python3.12 python3.13 python3.14 python; do \
	$$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$name && break; done)
EXTRAS = $(shell $(BIN)/python -c 'import tomllib; \
	print(",".join(tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]))')
INSTALL = $(if $(UV),$(UV) pip install --quiet --compile-bytecode --python $(BIN)/python,$(BIN)/python -m pip install --quiet)

.DEFAULT_GOAL := help
.PHONY: help demo test test-versions torture bench lint format servers check-wheel clean

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

demo: $(VENV)/.runs ## run a worker and qbeat on an example app, no server needed
	$(BIN)/qbeat demo $(DEMO_ARGS)

test: ## style, types, import rules and all tests, on real servers
	@$(MAKE) --no-print-directory -j 2 lint servers
	$(BIN)/python -m pytest $(PYTEST_ARGS)

torture: $(VENV)/.develops servers ## an hour or more: simulated histories, faults, failovers; see SEEDS, FAULTS, TRIALS, KILLS
	$(BIN)/python -m tests.simulation --seeds $(SEEDS)
	QBEAT_FAULTS=$(FAULTS) QBEAT_TRIALS=$(TRIALS) QBEAT_KILLS=$(KILLS) $(BIN)/python -m pytest -v -s tests/torture

test-versions: servers ## the end-to-end tests against each Celery, on each Python that is here
	@tests/run_versions

bench: servers ## compare qbeat with its rivals: make bench CASE=burst ENTRIES=10000
	@$(MAKE) --silent --no-print-directory VENV=$(VENV)-bench $(VENV)-bench/.compares
	$(VENV)-bench/bin/python -m tests.benchmarks $(CASE) $(BENCH_ARGS)

lint: $(VENV)/.develops ## style, types and import rules alone
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.develops ## put the code into shape
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

servers: ## install the servers that tests need, where that is allowed
	@tests/install_servers

check-wheel: $(VENV)/.develops ## build the wheel, install it elsewhere and run it
	$(BIN)/python -m pytest tests/packaging

clean: ## remove everything that the other targets made
	rm -rf $(VENV) $(VENV)-versions $(VENV)-bench build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .qbeat-demo
	find qbeat tests -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamps say what .venv holds: qbeat alone, or also what its developers need.
$(VENV)/.runs: pyproject.toml | $(BIN)/python
	$(INSTALL) --editable .
	@touch $@

$(VENV)/.develops: pyproject.toml | $(BIN)/python
	$(INSTALL) --editable '.[$(EXTRAS)]' --group test --group lint
	@touch $@ $(VENV)/.runs

# A place of its own for those with whom qbeat is compared.
$(VENV)/.compares: pyproject.toml | $(BIN)/python
	$(INSTALL) --editable '.[postgresql]' --group bench
	@touch $@

# Without uv: a pip that knows dependency groups.
$(BIN)/python:
	@test -n '$(PYTHON)$(UV)' || { echo 'qbeat needs Python 3.11 or newer; none was found on the PATH.' >&2; exit 1; }
	@rm -rf $(VENV)
ifneq ($(UV),)
	$(UV) venv --quiet --python $(or $(PYTHON),'>=3.11') $(VENV)
else
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
		echo 'This Python cannot make a virtual environment; on Debian: apt-get install python3-venv' >&2; exit 1; }
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
endif
