# Needs Python 3.11 or later, make and pip. `make demo PYTHON=python3.12` picks an interpreter.

PYTHON ?= python3
TORCH ?= torch==2.13.0

# The demo: STEPS=2000 COMPLEXITY=hop compresses better and takes longer.
STEPS ?= 500
COMPLEXITY ?= lop
LAMBDA ?= 0.001

# Processes that share out the tests.
WORKERS ?= auto

VENV := .venv
BIN := $(VENV)/bin
IMAGE := docs/images/demo.png
SOURCES := $(shell find api bitstream coder models scripts -name "*.py" -o -name "*.bin" -o -name "*.npy") setup.cfg pyproject.toml

.PHONY: install demo test test-fast lint clean

install: $(VENV)/.installed

demo: $(VENV)/.installed
	@mkdir -p demo
	$(BIN)/givre encode $(IMAGE) demo/demo.givre --lambda $(LAMBDA) --steps $(STEPS) \
	    --complexity $(COMPLEXITY) --force
	$(BIN)/givre decode demo/demo.givre demo/demo.png --force
	$(BIN)/givre info demo/demo.givre

# A file's tests stay together, as they share fits. `make test WORKERS=0` runs all in one process.
test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile

test-fast: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile -m "not slow"

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy -p givre
	cd benchmarks && $(CURDIR)/$(BIN)/mypy --config-file ../setup.cfg ./*.py
	cd training && $(CURDIR)/$(BIN)/mypy --config-file ../setup.cfg ./*.py

clean:
	rm -rf $(VENV) build dist demo *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis

# torch comes first and alone, in the version that is tested: the project's own requirement would
# fetch the newest. `make TORCH=...` takes another requirement or a wheel's path, as for a GPU.
$(VENV)/.torch:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed, use make PYTHON=...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install $(TORCH)
	touch $@

# A stale build folder would put deleted modules into the package.
$(VENV)/.installed: $(VENV)/.torch $(SOURCES)
	rm -rf build
	$(BIN)/python -m pip install --quiet '.[encode]'
	touch $@

$(VENV)/.installed-dev: $(VENV)/.torch $(SOURCES)
	rm -rf build
	$(BIN)/python -m pip install --quiet '.[dev]'
	touch $@ $(VENV)/.installed
