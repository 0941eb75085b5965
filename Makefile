# The same commands for people and for CI. `make demo` and `make test` need nothing but Python 3.11 or newer; all else comes from
# PyPI and Maven Central, the jars by a committed list of checksums.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

VENV ?= .venv
BIN := $(VENV)/bin
RUN := PATH="$(abspath $(BIN)):$$PATH"
STAMP := $(VENV)/.installed
ARGS ?=

.PHONY: help setup demo test lint format types docs wheel bench up down clean

help: ## show this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /\1\t/' | while IFS=$$'\t' read -r name text; do \
		printf '%-8s %s\n' "$$name" "$$text"; done

setup: $(STAMP) ## make .venv and install everything into it

# An interrupted setup leaves no stamp and is simply done again; a venv whose interpreter is gone is made anew.
$(STAMP): pyproject.toml
	@python=; for each in $${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11}; do \
		if "$$each" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then python=$$each; break; fi; done; \
	if [ -z "$$python" ]; then echo "refold needs Python 3.11 or newer and found none on PATH: install one, or run make PYTHON=/path/to/python3" >&2; exit 1; fi; \
	if ! "$(BIN)/python" -c 'import pip' 2>/dev/null; then \
		rm -rf "$(VENV)"; \
		if ! "$$python" -m venv "$(VENV)"; then \
			echo "$$python can't make a virtual environment: install its venv module (Debian, Ubuntu: apt-get install python3-venv)" >&2; exit 1; fi; fi
	@echo "installing into $(VENV)" >&2
	@"$(BIN)/python" -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	@"$(BIN)/python" -m pip install --quiet --disable-pip-version-check -e '.[examples,stack,archive,avro,privacy,search,valkey,web]' --group test --group lint
	@touch "$@"

demo: setup ## start the stack, run the flights example, end to end
	@$(RUN) refold demo $(ARGS)

test: setup ## run all tests on real servers; ARGS="-k replay" chooses
	@$(RUN) python -m pytest $(ARGS)

lint: setup ## ruff: rules and format
	@$(RUN) ruff check --quiet
	@$(RUN) ruff format --check --quiet || { echo "run: make format" >&2; exit 1; }

format: setup ## let ruff write the format and the simple fixes
	@$(RUN) ruff check --quiet --fix-only
	@$(RUN) ruff format --quiet

types: setup ## pyright, strict
	@$(RUN) pyright --pythonpath "$(BIN)/python" $(ARGS)

docs: setup ## write what is generated: settings and commands in docs/reference/
	@$(RUN) python docs/settings.py
	@$(RUN) python docs/commands.py
	@$(RUN) python docs/moments.py
	@$(RUN) python docs/checks.py
	@$(RUN) python docs/columns.py

wheel: setup ## build the sdist and the wheel into dist/
	@rm -rf dist
	@$(RUN) python -m hatchling build --directory dist
	@ls dist

bench: setup ## measure against the peers, side by side on this machine; prints ratios
	@"$(BIN)/python" -m pip install --quiet --disable-pip-version-check --group bench
	@$(RUN) refold up postgres kafka >/dev/null
	@$(RUN) python -m benchmarks.append
	@$(RUN) python -m benchmarks.replay $(ARGS)
	@$(RUN) python -m benchmarks.relay
	@$(RUN) python -m benchmarks.visible
	@$(RUN) python -m benchmarks.swap
	@$(RUN) python -m benchmarks.archive
	@$(RUN) python -m benchmarks.scale
	@$(RUN) refold up >/dev/null
	@$(RUN) cdc bench

up: setup ## start PostgreSQL, Kafka and Connect
	@$(RUN) refold up $(ARGS)

down: setup ## end them
	@$(RUN) refold down $(ARGS)

clean: ## end the stack and delete all that was made: .venv, .refold, dist, caches
	@if [ -x "$(BIN)/refold" ]; then $(RUN) refold down --wipe || true; fi
	@rm -rf "$(VENV)" .refold dist .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +
