# `make help` lists what there is to call. Nothing here asks a question; a second call installs
# nothing.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= $(shell command -v python3.13 || command -v python3.12 || command -v python3.11 || command -v python3)
VENV := .venv
INSTALLED := $(VENV)/.installed
RUN := PATH="$(CURDIR)/$(VENV)/bin:$$PATH" PYTHONPATH= DVC_NO_ANALYTICS=1 DO_NOT_TRACK=1

.PHONY: help demo test repro notebook lint format lock clean

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(INSTALLED): requirements.lock
	@"$(PYTHON)" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' \
	  || { echo "found $$("$(PYTHON)" --version) at $(PYTHON), expected Python 3.11, 3.12 or 3.13: make PYTHON=/path/to/python3.12 ..." >&2; exit 1; }
	@echo "Setting up $(VENV) (once; some minutes, about 2.5 GB)"
	@"$(PYTHON)" -m venv --clear $(VENV) \
	  || { echo "Python's venv module is missing; on Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-input --no-deps --require-hashes -r requirements.lock
	@# Importing TensorFlow or Prefect from source each time would cost seconds.
	@$(VENV)/bin/python -m compileall -q -j 0 $(VENV)/lib >/dev/null 2>&1 || true
	@touch $@

demo: $(INSTALLED) ## the whole pipeline on a generated corpus, in .demo/ (2 minutes)
	@$(RUN) python -m rnnpipe demo

test: $(INSTALLED) ## every test
	@$(RUN) python -m pytest

repro: $(INSTALLED) ## the real thing: full IMDB, what changed since the last run
	@$(RUN) dvc repro

notebook: $(INSTALLED) ## the teaching notebook's own configuration, in .try/notebook/
	@$(RUN) python -m rnnpipe try params/notebook.yaml

lint: $(INSTALLED) ## ruff, mypy, and who may import whom
	@$(RUN) ruff check .
	@$(RUN) ruff format --check .
	@$(RUN) mypy
	@$(RUN) lint-imports

format: $(INSTALLED) ## lay the code out
	@$(RUN) ruff format .
	@$(RUN) ruff check --fix .

lock: ## write requirements.lock anew from pyproject.toml (needs uv)
	@uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-header --no-annotate --quiet --output-file requirements.lock

clean: ## remove what demo and try made; never data, models or the cache
	@rm -rf .demo .try dvc_plots
