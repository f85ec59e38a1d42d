# Two commands do everything from a bare machine with Python 3.11:
#   make run    sets up and shows MIA answering questions
#   make test   sets up and runs every test
PYTHON ?= python3
VENV ?= .venv
VERL_VENV ?= .venv-verl
BIN := $(VENV)/bin

.PHONY: run test lint bench bench-methods nightly verl-test clean

run: $(VENV)/run.ok
	@$(BIN)/mia demo

test: $(VENV)/dev.ok
	@$(BIN)/mia models get smollm2-135m minilm
	@$(BIN)/python -m pytest -q --numprocesses 2 --dist worksteal

nightly: $(VENV)/dev.ok
	@$(BIN)/python -m pytest -q -m "nightly or not nightly" --timeout 1800

# --noconftest: the other tests' doubles need what verl's environment does not have
verl-test: $(VERL_VENV)/verl.ok
	@env -u MIA_BASE_URL -u MIA_MODEL $(VERL_VENV)/bin/python -m pytest -q --noconftest tests/training/verl

lint: $(VENV)/dev.ok
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/pyright --pythonpath $(BIN)/python

bench: $(VENV)/dev.ok
	@$(BIN)/python benchmarks/overhead.py
	@$(BIN)/python benchmarks/embedded.py --data ../shared/data

bench-methods: $(VENV)/dev.ok
	@$(BIN)/mia models get smollm2-135m minilm
	@$(BIN)/python recipes/compare_methods.py --data ../shared/data

$(VENV)/venv.ok:
	@echo "making a virtual environment in $(VENV) ..."
	@$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/run.ok: $(VENV)/venv.ok pyproject.toml constraints.txt
	@echo "installing MIA (about 150 MB of wheels, once) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	@touch $@

$(VENV)/dev.ok: $(VENV)/venv.ok pyproject.toml constraints.txt
	@echo "installing MIA with its test tools (torch among them: several hundred MB of wheels, once) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@ $(VENV)/run.ok

$(VERL_VENV)/verl.ok: requirements-verl.txt pyproject.toml
	@echo "installing verl in $(VERL_VENV) (2.2 GB with PyTorch for the CPU, once) ..."
	@$(PYTHON) -m venv $(VERL_VENV)
	@$(VERL_VENV)/bin/python -m pip install --quiet --disable-pip-version-check -r requirements-verl.txt -e .
	@touch $@

clean:
	rm -rf $(VENV) $(VERL_VENV) .pytest_cache .ruff_cache .hypothesis build dist
