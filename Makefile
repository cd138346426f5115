# One command each for what people do with Ballast: `make` lists them.
# PORT, DATA_DIR, DATABASE_URL and the other variables of `make settings` are passed through: PORT=9000 make run

SHELL := /bin/sh
.DEFAULT_GOAL := help
.PHONY: help setup run test check bench lock settings clean

VENV := .venv
PYTHON := $(VENV)/bin/python
# With uv, installing takes seconds; without it, pip does the same from the same hashes. NO_UV=1 leaves it aside.
UV := $(if $(NO_UV),,$(shell command -v uv 2>/dev/null))
FIND_PYTHON = for p in $(FROM) python3.13 python3.12 python3.11 python3.14 python3 python; do \
	"$$p" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 15))' 2>/dev/null && { echo "$$p"; break; }; done
ifdef UV
INSTALL = "$(UV)" pip install --quiet --python $(PYTHON) --require-hashes
else
# Debian's Python cannot put pip into an environment: then the pip outside installs into it.
INSTALL = if $(PYTHON) -m pip --version >/dev/null 2>&1; then set -- $(PYTHON) -m pip; \
	else set -- "$$($(FIND_PYTHON))" -m pip --python $(PYTHON); fi; \
	"$$@" install --quiet --disable-pip-version-check --require-hashes --no-compile
endif

help: ## list what can be done here
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' Makefile

setup: $(VENV)/.installed ## make .venv and install what Ballast runs on (FROM=python3.12 chooses the Python)

run: $(VENV)/.installed ## start Ballast, with a demo unless DATABASE_URL is set; Ctrl-C stops it
	@exec $(PYTHON) run.py

test: $(VENV)/.installed-dev ## run all tests (ARGS="-k lots" chooses some)
	@$(PYTHON) -m pytest -n $${TEST_WORKERS:-auto} --dist loadgroup $(ARGS)

check: $(VENV)/.installed-dev ## lint, types and the direction of the imports
	@$(PYTHON) -m ruff check .
	@$(PYTHON) -m mypy
	@$(PYTHON) -m pytest -p no:cacheprovider tests/test_layers.py tests/test_secrets.py

bench: $(VENV)/.installed-dev ## measure Ballast beside its peers
	@$(PYTHON) -m bench $(ARGS)

lock: ## lock the newest versions that fit requirements*.in, with hashes (needs uv; ARGS=--upgrade)
	uv pip compile --quiet --universal --generate-hashes --python-version 3.11 requirements.in -o requirements.txt $(ARGS)
	uv pip compile --quiet --universal --generate-hashes --python-version 3.11 requirements-dev.in -o requirements-dev.txt $(ARGS)

settings: ## list the environment variables: default, current value, meaning
	@p=$(PYTHON); [ -x "$$p" ] || p=$$($(FIND_PYTHON)); "$${p:-python3}" settings.py

clean: ## remove .venv and what tools left behind; .data, your data, stays
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# --- the environment: a stamp says what was installed; a second `make` is instant ---

$(PYTHON):
	@python=$$($(FIND_PYTHON)); \
	if [ -n "$(UV)" ]; then \
		"$(UV)" venv --quiet --python "$${python:-3.12}" $(VENV); \
	elif [ -n "$$python" ]; then \
		"$$python" -m venv --clear $(VENV) >/dev/null 2>&1 || "$$python" -m venv --clear --without-pip $(VENV); \
	else \
		echo "error: no Python from 3.11 to 3.14 found; install one, or install uv, which brings its own" >&2; exit 1; \
	fi

$(VENV)/.installed: requirements.txt | $(PYTHON)
	@echo "installing into $(VENV) with $(if $(UV),uv,pip: about a minute) …"
	@$(INSTALL) -r requirements.txt
	@touch $@

$(VENV)/.installed-dev: requirements-dev.txt $(VENV)/.installed
	@$(INSTALL) -r requirements-dev.txt
	@touch $@
