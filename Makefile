# Everything a developer runs. Needs make and Python >= 3.11 with pip; the rest is set up on demand.
MAKEFLAGS += --no-builtin-rules
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
export PYTHON

RUN := .venv/bin/python -m
# Three on two cores: much of what the tests do is to wait for processes and servers.
# File by file, in the order of tests/conftest.py: what a file's tests share is made once, and heavy files do not meet.
PYTEST := $(RUN) pytest -n 3 --dist loadfile --no-loadscope-reorder -q
# Strict: what could not be looked up fails, or an index without such news would look like good news.
AUDIT := $(RUN) pip_audit --strict --disable-pip --require-hashes

.PHONY: help demo test check audit torture mutants bench bench-full fmt lock clean

help: ## Say what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' Makefile

demo: .venv/run.stamp ## Watch orders being fulfilled: brings its own servers
	$(RUN) worker demo

test: .venv/test.stamp ## Run every test, with real servers, kills and outages
	$(PYTEST)

check: .venv/test.stamp ## Format, lint, types, fast tests: what has to pass before a commit
	$(RUN) ruff format --check .
	$(RUN) ruff check .
	$(RUN) mypy
	$(PYTEST) -m "not heavy"

audit: .venv/test.stamp ## Ask whether a known vulnerability is in what we depend on
	$(AUDIT) --requirement requirements.lock
	$(AUDIT) --requirement requirements-test.lock

torture: .venv/test.stamp ## Twenty minutes of faults of every kind, one a second; then the books are read
	$(RUN) tests.faults.torture $(TORTURE)

bench: .venv/test.stamp ## Measure, in five minutes at most, and print ratios
	$(RUN) tests.bench

bench-full: .venv/test.stamp ## Measure all of it, in half an hour at most, into tests/bench/results
	$(RUN) tests.bench.full --save

mutants: .venv/test.stamp ## Plant bugs one by one: each must be caught and named
	$(RUN) tests.faults.mutants

fmt: .venv/test.stamp ## Put the code into shape
	$(RUN) ruff format .
	$(RUN) ruff check --fix --exit-zero .

lock: ## Renew both locks from pyproject.toml
	deploy/bootstrap --lock

clean: ## Remove what was set up and cached here; the servers' data stays
	rm -rf .venv .tools .mypy_cache .pytest_cache .ruff_cache .hypothesis dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Two locks: the demo does not fetch what only tests need. The second holds all of the first.
.venv/run.stamp: requirements.lock deploy/bootstrap
	@deploy/bootstrap requirements.lock
	@touch $@

.venv/test.stamp: requirements-test.lock deploy/bootstrap
	@deploy/bootstrap requirements-test.lock
	@touch .venv/run.stamp $@
