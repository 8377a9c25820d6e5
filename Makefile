# `make help` lists what there is to call. Nothing here asks a question; a second call installs
# nothing.
.DEFAULT_GOAL := help
SHELL := /bin/bash
VENV := .venv
INSTALLED := $(VENV)/.installed
PIP_INSTALL := $(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-input --no-deps --require-hashes
RUN := PATH="$(CURDIR)/$(VENV)/bin:$$PATH" PYTHONPATH= DVC_NO_ANALYTICS=1 DO_NOT_TRACK=1

.PHONY: help demo test check repro flow search ui notebook bench seeds cells lint format deps relock lock clean

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# Some version managers put a python3.13 on the path that only says that it is not there: try each.
$(INSTALLED): requirements.lock
	@for python in $(PYTHON) python3 python3.13 python3.12 python3.11; do \
	  "$$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null && break; \
	  python=; \
	done; \
	[ -n "$$python" ] || { echo "found no Python 3.11, 3.12 or 3.13: install one, or name it: make PYTHON=/path/to/python3 ..." >&2; exit 1; }; \
	echo "Setting up $(VENV) with $$("$$python" --version), once; it takes a minute or more and 3 GB"; \
	"$$python" -m venv --clear $(VENV) || { echo "venv failed; on Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
	@# uv checks the same hashes as pip, in a third of the time; where it cannot be had, or cannot
	@# reach the index, pip does it all. Both compile the bytecode: importing TensorFlow from source
	@# would cost seconds. Each asks the index that pip is configured for.
	@sed -n '/^uv==/,/[^\\]$$/p' requirements.lock > $(VENV)/uv.lock
	@index=$$($(VENV)/bin/python -m pip config get global.index-url 2>/dev/null); \
	index=$${UV_DEFAULT_INDEX:-$${PIP_INDEX_URL:-$$index}}; \
	{ $(PIP_INSTALL) -r $(VENV)/uv.lock \
	  && env $${index:+UV_DEFAULT_INDEX="$$index"} $(VENV)/bin/uv pip install --quiet --python $(VENV)/bin/python \
	    --no-deps --require-hashes --compile-bytecode -r requirements.lock; } \
	|| { echo "uv could not install it: trying pip, which takes longer" >&2; \
	  $(PIP_INSTALL) -r requirements.lock; }
	@touch $@

demo: $(INSTALLED) ## all three pipelines on generated data, in .demo/ (a minute or two)
	@$(RUN) python -m rnnpipe demo

test: $(INSTALLED) ## every test (FLAGS="-k words" some)
	@# Three on two cores: tests of servers wait most of their time.
	@$(RUN) python -m pytest -n 3 $(FLAGS)

check: lint ## before each commit: lint, and the tests that need no pipeline and no network
	@# The projects that earlier whole runs left take half a minute to remove: that is for the next one.
	@$(RUN) python -m pytest -q -n 2 -o tmp_path_retention_count=100 --ignore tests/network --ignore tests/flows --ignore tests/pipeline --ignore tests/fuzz $(FLAGS)

repro: $(INSTALLED) ## the real thing: full IMDB, what changed since the last run
	@$(RUN) dvc repro

flow: $(INSTALLED) ## one run by Prefect now, in a clone of its own, with or without `make ui`
	@$(RUN) python -m flows.run $(FLAGS)

search: $(INSTALLED) ## search for better parameters, as params/search.yaml says; goes on where it was cut off
	@$(RUN) python -m flows.search run $(FLAGS)

ui: $(INSTALLED) ## Prefect's server, worker and deployments in the foreground; Ctrl-C stops all
	@exec env $(RUN) python -m flows.serving.up

notebook: $(INSTALLED) ## the teaching notebook's own configuration, in .try/notebook/, kept in reports/notebook.json
	@$(RUN) python -m rnnpipe try params/notebook.yaml --keep reports/notebook.json

bench: $(INSTALLED) ## time training steps and predictions beside Keras (and PyTorch: BENCH_TORCH=python)
	@$(RUN) python -m benchmarks.bench

seeds: $(INSTALLED) ## a problem's whole pipeline once for each of several seeds (FLAGS='--problem NAME'), in .try/
	@$(RUN) python -m benchmarks.seeds $(FLAGS)

cells: $(INSTALLED) ## the three cells with all else alike, and the sets in params/, in .try/cells/
	@$(RUN) python -m benchmarks.cells $(FLAGS)

lint: $(INSTALLED) ## ruff, mypy, and who may import whom
	@$(RUN) ruff check .
	@$(RUN) ruff format --check .
	@$(RUN) mypy
	@$(RUN) lint-imports

format: $(INSTALLED) ## lay the code out
	@$(RUN) ruff format .
	@$(RUN) ruff check --fix .

deps: $(INSTALLED) ## after imports changed: the code that each stage executes into its deps
	@$(RUN) python -m maintenance.dependencies $(FLAGS)

relock: $(INSTALLED) ## after code was moved or tidied: its hashes into dvc.lock, if no output changed
	@$(RUN) python -m maintenance.relock $(FLAGS)

lock: ## write requirements.lock anew from pyproject.toml (needs uv)
	@uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-header --no-annotate --quiet --output-file requirements.lock

clean: ## remove what demo and try made; never data, models or the cache
	@rm -rf .demo .try dvc_plots
