# Everything from a fresh clone: needs python3 (3.11 or newer) and pip, nothing else.
#
#   make demo    record a game, learn its world, write a video of the dream (under 15 minutes on two cores)
#   make test    the whole test suite
#   make docs    the documentation with the API reference, in site/; fails on a broken link or an undocumented name
#   make check   format, lint, types, import directions, published tables, size of what git tracks
#   make fuzz    mutated bundles and footages, 100,000 of each with today's seed (about four hours); .ci/nightly runs it
#
# PYTHON=python3.12 make demo    picks another interpreter.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
NOW    := $(shell date +%s)

FUZZ_SEED  ?= $(shell date -u +%Y%m%d)
FUZZ_COUNT ?= 100000

.PHONY: demo test docs check fuzz clean

demo: $(READY)
	$(BIN)/python experiments/demo.py --out demo --started-at $(NOW)

test: $(READY)
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

docs: $(READY)
	$(BIN)/mkdocs build --strict

check: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports
	$(BIN)/python experiments/tables.py --check
	$(BIN)/python .ci/hygiene.py

fuzz: $(READY)
	mkdir -p build
	$(BIN)/python experiments/fuzz.py --count $(FUZZ_COUNT) --seed $(FUZZ_SEED) --out build/fuzz.json

# uv installs in seconds; where it cannot be had or does not find a package, pip reads the same lock.
$(READY): pyproject.toml requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(f"expected Python 3.11 or newer for worldsim, got {sys.version.split()[0]}: name one with PYTHON=python3.12 make ..." if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	-$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python -r requirements.lock -e . \
	  || $(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock -e .
	@touch $@

clean:
	rm -rf $(VENV) demo runs site .pytest_cache .ruff_cache .hypothesis
