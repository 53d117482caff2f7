# Seven verbs; each sets up .venv by itself. Needs python3 (3.11 or newer), make, git, gcc.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test check release-check docs bench clean

demo: .venv/ready
	$(BIN)/texneg demo --out runs/demo

test: .venv/ready
	$(BIN)/python -m pytest

check: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	rm -rf build/types && mkdir -p build/types/texneg
	ln -s $(CURDIR)/texneg/* $(CURDIR)/synth $(CURDIR)/train $(CURDIR)/datasets build/types/texneg/
	ln -s $(CURDIR)/benchmarks build/types/texneg/bench
	MYPYPATH=build/types $(BIN)/mypy -p texneg

# Slow, and it needs a package index: wheel and sdist in clean environments, lowest and newest dependencies.
release-check: .venv/ready
	$(BIN)/python tests/release/check.py

docs: .venv/ready
	$(BIN)/sphinx-build --fail-on-warning --keep-going -q docs build/docs

bench: .venv/ready
	$(BIN)/texneg bench all

clean:
	rm -rf .venv build runs .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info

.venv/ready: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "texneg needs Python 3.11 or newer; point to one: make PYTHON=/path/to/python3 $(MAKECMDGOALS)")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python --editable '.[dev]'
	touch $@
