# Every target sets itself up: a fresh clone with Python 3.11 and pip needs nothing else.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=

.PHONY: help install install-test run test test-slow test-spaces test-cluster lint docs coverage bench gpu gpu-bundle clean

help:
	@echo "make run          search space=pareto_cm on the embedded sample (ARGS='data.root=DIR search.trials=50' adds settings)"
	@echo "make test         lint, types and the tests"
	@echo "make test-slow    the tests that take minutes"
	@echo "make test-spaces  two trials of every shipped space"
	@echo "make test-cluster launch/ on a real SLURM and by ssh, two nodes each, and its panels on a real Prometheus (Debian, as root: installs what is missing)"
	@echo "make docs         the documentation site, in site/"
	@echo "make coverage     the tests, and a table of covered branches by package with its bars"
	@echo "make bench        the benchmarks"
	@echo "make gpu          whether every GPU path works, and what a GPU gains (ARGS='--part equal')"
	@echo "make gpu-bundle   the wheels for make gpu on a machine that has only torch (PY=3.12)"

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: setup.cfg pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	touch $@

$(VENV)/.installed-test: setup.cfg pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test]'
	touch $@ $(VENV)/.installed

install: $(VENV)/.installed
install-test: $(VENV)/.installed-test

run: install
	$(BIN)/python -m mtsearch.run space=pareto_cm $(ARGS)

lint: install-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy mtsearch

test: lint
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not slow and not cluster" $(ARGS)

test-slow: install-test
	$(BIN)/python -m pytest -m "slow" $(ARGS)

test-spaces: install-test
	$(BIN)/python -m pytest -m "slow" tests/spaces $(ARGS)

test-cluster: install-test
	$(BIN)/python -m pytest -m "cluster" $(ARGS)

docs: install
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[docs]'
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet --strict

coverage: install-test
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not slow and not cluster" --cov=mtsearch --cov-branch --cov-report=json:.coverage.json $(ARGS)
	$(BIN)/python tests/coverage_table.py .coverage.json

bench: install
	@for file in $(filter-out benchmarks/gpu.py,$(wildcard benchmarks/*.py)); do echo "== $$file"; $(BIN)/python $$file || exit 1; done

gpu: install
	$(BIN)/python benchmarks/gpu.py $(ARGS)

PY ?= 3.12
GPU_WHEELS := numpy pillow lmdb pydantic pyyaml filelock platformdirs safetensors
PLATFORMS := --platform manylinux2014_x86_64 --platform manylinux_2_27_x86_64 --platform manylinux_2_28_x86_64
gpu-bundle: $(BIN)/python
	rm -rf build/gpu-bundle
	$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir build/gpu-bundle .
	$(BIN)/python -m pip download --quiet --disable-pip-version-check --only-binary=:all: --python-version $(PY) \
		--implementation cp $(PLATFORMS) --dest build/gpu-bundle $(GPU_WHEELS)
	$(BIN)/python -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: --python-version $(PY) \
		--dest build/gpu-bundle 'torchjd>=0.18,<0.20'
	cp -r benchmarks/gpu.py benchmarks/gpu_parts build/gpu-bundle
	git rev-parse HEAD > build/gpu-bundle/COMMIT
	du -sm build/gpu-bundle

clean:
	rm -rf $(VENV) build dist *.egg-info
