# Two commands: `make run` and `make test`. Each sets up what it needs in .venv.
PYTHON ?= python3
PORT ?= 8501
VENV := .venv
BIN := $(VENV)/bin
WORKERS ?= 3
MATRIX_WORKERS ?= 4

.PHONY: run test check setup docs prove bench clean

run: $(VENV)/.runtime  ## open the dashboard on http://127.0.0.1:8501
	@$(BIN)/python -m app dashboard --port $(PORT)

# The tests run side by side and watch times, ports and processes of one small machine. What fails there is tried
# once more by itself; both results are printed, and what fails twice has failed.
AGAIN := $(BIN)/python -m pytest --last-failed --last-failed-no-failures none

test: $(VENV)/.development  ## run the tests
	@$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile -m "not matrix and not proof" || \
		$(AGAIN) -m "not matrix and not proof"
	@$(BIN)/python -m pytest -n $(MATRIX_WORKERS) --dist worksteal -m matrix || $(AGAIN) -m matrix

check: $(VENV)/.development  ## style, types
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy

prove: $(VENV)/.development  ## the long proofs: repeated runs, the whole defect matrix at full length
	@$(BIN)/python -m pytest -m proof -s tests/proofs
	@GREENLIGHT_PROVE=1 $(BIN)/python -m pytest -m matrix

bench: $(VENV)/.runtime $(VENV)/bench/.installed $(VENV)/bench-llm/.installed  ## measure the load driver beside wrk, hey, Locust and aiperf
	@$(BIN)/python -m tests.bench $(BENCH)

docs: $(VENV)/.runtime  ## write checks/README.md from the checks' docstrings
	@$(BIN)/python -m app checks docs -o checks/README.md

setup: $(VENV)/.runtime  ## only make .venv

$(VENV)/.python:
	@$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else "Greenlight needs Python 3.11 or newer; name one: make PYTHON=python3.11 $(MAKECMDGOALS)")'
	@$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.runtime: $(VENV)/.python requirements.txt
	@echo "Installing what Greenlight needs into $(VENV) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

$(VENV)/.development: $(VENV)/.runtime requirements-dev.txt requirements-scale.txt requirements-chaos.txt
	@echo "Installing what the tests need into $(VENV) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@

# The benchmark's peers, apart from the product. One that cannot be installed leaves its rows without a figure.
$(VENV)/bench/.installed: $(VENV)/.python
	@echo "Installing Locust into $(VENV)/bench ..."
	@$(PYTHON) -m venv $(VENV)/bench
	@$(VENV)/bench/bin/python -m pip install --quiet --disable-pip-version-check locust && touch $@ || echo "Locust could not be installed."

$(VENV)/bench-llm/.installed: $(VENV)/.python
	@echo "Installing aiperf into $(VENV)/bench-llm (1.2 GB) ..."
	@$(PYTHON) -m venv $(VENV)/bench-llm
	@$(VENV)/bench-llm/bin/python -m pip install --quiet --disable-pip-version-check aiperf \
		&& $(VENV)/bench-llm/bin/python tests/bench/make_tokenizer.py $(VENV)/bench-llm/tokenizer \
		&& touch $@ || echo "aiperf could not be installed."

clean:  ## remove .venv and caches; keeps data/
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis
