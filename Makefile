# `make run` and `make test` do everything on a fresh machine; `make help` lists the rest.
SHELL := /bin/bash
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Which PyTorch wheels: `pypi` (the registry's own; on Linux they carry CUDA), `cpu` (small, from
# PyTorch's index), or the name of another of its indices, such as cu130.
TORCH ?= pypi
# Where the real corpora stand, for `make verify-real`.
RAW_DIR ?= data/01_raw/real
# The finished study of `make demo`, and its port on 127.0.0.1.
STUDY ?= sample
PORT ?= 7860
# The port of `make ui` on 127.0.0.1.
UI_PORT ?= 5000
TORCH_PINS := torch==2.14.1 torchvision==0.29.1
TORCH_INDEX := $(if $(filter pypi,$(TORCH)),,--index-url https://download.pytorch.org/whl/$(TORCH))
READY := $(VENV)/.ready-$(TORCH)

export HF_HUB_OFFLINE ?= 1
export HF_HUB_DISABLE_TELEMETRY ?= 1
export TOKENIZERS_PARALLELISM ?= false
export PIP_DISABLE_PIP_VERSION_CHECK ?= 1

.PHONY: help run test install sample data ui record viz demo verify-real bench gpu-check config check lock clean clean-cache

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | while IFS=$$'\t' read -r name text; do printf '  make %-12s %s\n' "$$name" "$$text"; done
	@echo; echo "Variables: PYTHON (an interpreter, 3.11 or newer), TORCH (pypi, cpu, cu130 …), RAW_DIR (real corpora), STUDY and PORT (of the demo), ENV (of config)"

$(READY): requirements/lock.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { echo "Python 3.11 or newer is needed, $(PYTHON) is $$($(PYTHON) --version 2>&1); name another one: make PYTHON=/path/to/python3.12 …" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing the locked environment into $(VENV); this takes a few minutes once."
	@$(BIN)/python -m pip install --quiet --no-deps --require-hashes -r requirements/lock.txt
	@$(BIN)/python -m pip install --quiet $(TORCH_PINS) $(TORCH_INDEX)
	@$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	@rm -f $(VENV)/.ready-*; touch $@

install: $(READY)  ## the environment, from the committed lock

sample: $(READY)  ## the generated sample corpora, in the form of the real ones
	@$(BIN)/python -m sports_clip_sample --out data/01_raw/sample

run: sample  ## everything: environment, sample, the whole DAG, the report
	@$(BIN)/kedro run
	@$(BIN)/python -m sports_clip_pipeline.report.metrics data/08_reporting/sample

test: $(READY)  ## the whole test suite and the static checks
	@$(MAKE) --no-print-directory check
	@$(BIN)/python -m pytest -n logical --maxprocesses 8 --dist loadfile --no-loadscope-reorder --durations=25

check: $(READY)  ## ruff, mypy, import-linter, deptry
	@$(BIN)/ruff check src tests benchmarks notebooks
	@$(BIN)/ruff format --check --quiet src tests benchmarks notebooks
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/deptry src

data: $(READY)  ## the public archives of the real corpora, into data/01_raw/real
	@$(BIN)/kedro run --env=real --pipelines=download

config: $(READY)  ## every parameter of an environment with its origin: make config ENV=real
	@$(BIN)/kedro config $(if $(ENV),--env=$(ENV))

demo: $(READY)  ## a page on 127.0.0.1 that classifies one image, from a finished study
	@$(BIN)/python -m sports_clip_pipeline.apps.demo --study "$(STUDY)" --port "$(PORT)"

verify-real: $(READY)  ## the real DAG with all checks; rewrites docs/results.md
	@$(BIN)/python benchmarks/verify_real.py --raw-dir "$(RAW_DIR)"

bench: $(READY)  ## the benchmarks
	@$(BIN)/python benchmarks/image_store.py
	@$(BIN)/python benchmarks/inference_cost.py
	@$(BIN)/python benchmarks/trial_cost.py
	@$(BIN)/python benchmarks/start_up.py
	@$(BIN)/python benchmarks/overhead.py
	@$(BIN)/python benchmarks/memory_by_size.py
	@$(BIN)/python benchmarks/contrastive_speed.py $(if $(wildcard $(RAW_DIR)/flickr8k.zip),--archive $(RAW_DIR)/flickr8k.zip)

gpu-check: $(READY)  ## the tests and the benchmark that need a CUDA device
	@$(BIN)/python benchmarks/gpu_check.py

ui: $(READY)  ## the MLflow UI on 127.0.0.1 over the project's store
	@mkdir -p mlruns && echo "http://127.0.0.1:$(UI_PORT); Ctrl-C ends it" && MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false $(BIN)/python -m mlflow ui --workers 1 --host 127.0.0.1 --port $(UI_PORT) --backend-store-uri sqlite:///$(CURDIR)/mlruns/mlflow.db --default-artifact-root $(CURDIR)/mlartifacts

record: $(READY)  ## record the data of STUDY on disk in a new MLflow run
	@$(BIN)/python -m kedro run --runner=sports_clip_pipeline.tracking.datasets.RecordRunner --params=study=$(STUDY)

viz: $(READY)  ## the DAG in Kedro-Viz
	@PYTHONWARNINGS="ignore:ORJSONResponse is deprecated" $(BIN)/kedro viz run

lock: requirements/core.in requirements/dev.in requirements/overrides.txt  ## compile requirements/lock.txt anew (needs uv)
	uv pip compile --universal --python-version 3.11 $(filter %.in,$^) --override requirements/overrides.txt -o requirements/lock.txt --generate-hashes --custom-compile-command "make lock" $(shell sed 's/^/--no-emit-package /' requirements/torch-stack.txt)

clean-cache:  ## forget cached features and exported encoders
	rm -rf data/04_feature/cache

clean: clean-cache  ## a clean slate; never touches data/01_raw
	rm -rf data/0[2-8]_*/*/ mlruns mlartifacts .viz build
