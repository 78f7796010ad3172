# The two commands of a fresh machine: `make demo` and `make test`.  Both set everything up in .venv/.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
READY := .venv/.ready

.PHONY: demo test test-long check format bench lock clean

demo: $(READY)
	$(BIN)/roost demo

test: $(READY)
	scripts/servers
	$(BIN)/python -m pytest -m "not long"

test-long: $(READY)
	scripts/servers
	$(BIN)/python -m pytest --timeout 3600

check: $(READY)
	$(BIN)/ruff check src tests
	$(BIN)/ruff format --check src tests
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(READY)
	$(BIN)/ruff check --fix src tests
	$(BIN)/ruff format src tests

bench: $(READY)
	$(BIN)/roost bench vectors

$(READY): requirements.lock pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

# Needs uv; run it after a change of the dependencies in pyproject.toml.
lock:
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--all-extras --custom-compile-command "make lock" -o requirements.lock pyproject.toml

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis
