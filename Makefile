# Everything a person types. `make` alone lists it.

PYTHON ?= python3
VENV   ?= .venv
PORT   ?=
ARGS   ?=

PY    := $(VENV)/bin/python
READY := $(VENV)/.ready

# A process that may not keep its bytecode compiles all of chatlab when it starts, and we start hundreds.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup lab test check compare notebooks proto clean rebuild

help:  ## list these targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))
	@echo
	@echo "  PYTHON=python3.13   the Python that $(VENV) is built with (3.11 or newer)"
	@echo "  ARGS='-k text'      more arguments, for lab, test, compare, notebooks and proto"
	@echo "  PORT=9999           a port for lab, instead of a free one"

setup: $(READY)  ## install chatlab and all that it needs into .venv
	@echo "chatlab is ready. Next: make lab"

lab: $(READY)  ## open the notebooks in JupyterLab
	@$(VENV)/bin/chatlab lab $(if $(PORT),--port $(PORT)) $(ARGS)

test: $(READY)  ## run the tests, and every notebook against its stored output
	$(PY) -m pytest --nbval -n auto $(ARGS)

check: $(READY)  ## check format, lint and types, in half a minute
	@failed=0; for part in "ruff format --check ." "ruff check ." mypy; do \
	    echo "$(PY) -m $$part"; $(PY) -m $$part || failed=1; \
	done; exit $$failed

compare: $(READY)  ## measure the socket protocol against gRPC, and write a report
	$(VENV)/bin/chatlab compare $(ARGS)

notebooks: $(READY)  ## run every notebook again and store its output
	$(PY) tools/run_notebooks.py $(ARGS)

proto: $(READY)  ## write the gRPC stubs again, from chatlab/proto/chat.proto
	$(PY) tools/make_stubs.py $(ARGS)

clean:  ## remove what can be made again, .venv included
	rm -rf $(VENV) .venv-proto build dist .pytest_cache .hypothesis .mypy_cache .ruff_cache
	find . -name .git -prune -o \( -name __pycache__ -o -name .ipynb_checkpoints \) -prune -exec rm -rf {} +

# A PYTHON that was asked for, and that is not the one .venv was built with, means building it anew.
ifneq ($(origin PYTHON),file)
WHICH := -c 'import sys; print(sys.version_info)'
ifneq ($(shell { $(PYTHON) $(WHICH); } 2>&1),$(shell { $(PY) $(WHICH); } 2>&1))
REBUILD := rebuild
endif
endif

$(READY): pyproject.toml $(REBUILD)
	@if [ -n "$(REBUILD)" ] || ! $(PY) -c '' 2>/dev/null; then \
	    if ! $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	        echo "chatlab needs Python 3.11 or newer, and '$(PYTHON)' is none ($$($(PYTHON) --version 2>&1 | head -n 1))."; \
	        echo "Name one that is: make setup PYTHON=python3.12"; \
	        exit 1; \
	    fi; \
	    if ! $(PYTHON) -c 'import ensurepip, venv' 2>/dev/null; then \
	        echo "'$(PYTHON)' cannot make virtual environments: its modules venv and ensurepip are missing."; \
	        echo "On Debian and Ubuntu they are a package of their own: apt install python3-venv"; \
	        exit 1; \
	    fi; \
	    echo "Making $(VENV) with $$($(PYTHON) --version)"; \
	    $(PYTHON) -m venv --clear $(VENV) || exit 1; \
	fi
	@echo "Installing chatlab and what it needs; the first time this takes a minute or two"
	@$(PY) -m pip install --quiet --disable-pip-version-check --editable '.[all]'
	@touch $@
