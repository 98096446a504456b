# Everything a person or CI does with this tree. `make help` lists it.
# Needs Python 3.11+ (with venv) and make; `make test` also node, npm and, once, root for docker/install.sh.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
# Two at a time: pip unpacks while apt does. All that tests do comes one after the other by itself.
MAKEFLAGS += --no-builtin-rules --jobs=2

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
JSSIP := tests/interop/jssip
JSSIP_INSTALLED := $(JSSIP)/node_modules/.package-lock.json
CERTS ?= certs
NAMES ?= localhost 127.0.0.1 ::1
PYTEST_ARGS ?=
SHORT = -m 'not soak' --durations=10 $(PYTEST_ARGS)
# Busy with both cores, or measuring them: one after the other, with nothing beside them.
ALONE := $(addprefix tests/integration/, test_matrix.py test_left_routes.py \
	endpoint/app/test_enumeration.py endpoint/app/test_exhaustion.py \
	endpoint/media/test_recorder.py) tests/interop/test_bench.py
# A browser takes some of every core whenever it likes: no more of them than cores, and beside nothing
# that is judged to milliseconds.
BROWSERS := $(addprefix tests/interop/, test_page.py test_example_page.py test_chromium.py test_chromium_media.py)
# What needs scripts that are not ours to have.
VENDOR := tests/interop/vendor
# All others side by side. Most of their time they wait for audio, so there may be more of them than cores.
ABREAST := --dist worksteal -n
# Where PYTEST_ARGS picks tests, a run may have none of them (status 5).
OR_NONE = $(if $(PYTEST_ARGS),|| [ $$? = 5 ])
BENCH_ARGS ?=
# Tests start thousands of processes: let each find the modules of this tree compiled, also where the
# environment says that nothing be written.
test soak bench: export PYTHONDONTWRITEBYTECODE :=
# What tests write is thrown away, and a busy disk would hold up what is asked of a database: it is kept
# in memory where there is room for it (KiB).
ROOM := $(shell df -k --output=avail /dev/shm 2>/dev/null | tail -1)
ifeq ($(shell [ "$(or $(ROOM),0)" -ge 8000000 ] && echo in-memory),in-memory)
test soak: export TMPDIR := /dev/shm
endif

.PHONY: help setup demo serve test check peers soak bench interop-vendor certs clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(INSTALLED) ## Make .venv with the program and its development tools

demo: setup ## Walk through call control with five telephones, show who hears whom, stay up
	$(BIN)/agent-endpoint demo

serve: setup ## Run the endpoint with its embedded defaults
	$(BIN)/agent-endpoint serve

test: setup peers check ## Check everything a change may break (what CI runs)
	$(BIN)/pytest tests $(patsubst %,--ignore=%,$(ALONE) $(BROWSERS)) --ignore=tests/bench --ignore=$(VENDOR) $(ABREAST) 3 $(SHORT) $(OR_NONE)
	$(BIN)/pytest $(BROWSERS) $(ABREAST) 2 $(SHORT) $(OR_NONE)
	$(BIN)/pytest $(ALONE) $(SHORT) $(OR_NONE)

check: setup ## Lint, formatting, types, direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

peers: $(JSSIP_INSTALLED) ## Install the SIP peers that the interop tests talk to (root or sudo)
	docker/install.sh peers

soak: setup ## Run the long tests: real time-outs, full cubes, many calls
	$(BIN)/pytest tests -m soak --timeout=0 $(PYTEST_ARGS)

bench: setup ## Measure, as ratios to a peer under the same load
	$(BIN)/python -m tests.bench $(BENCH_ARGS)

interop-vendor: setup ## Have BasicCall's own script work a day in Chromium (SCRIPT=its directory, or files)
	@[ -n '$(SCRIPT)' ] || { printf '%s\n' \
		'make: SCRIPT is missing: a directory with WSSoftPhone.js and SPCommand.js, or the two files.' \
		'They are BasicCall'"'"'s and not ours to hand on. They come with its soft phone' \
		'(SoftphoneDemo/js/wsSoftPhone); public repositories that have copies are found by searching' \
		'code for "onConfirmReplaceWebSocket" and for "AGENTLISTTYPE_MONITORCONTROL".' >&2; exit 1; }
	VENDOR_SCRIPT='$(SCRIPT)' $(BIN)/pytest $(VENDOR) $(PYTEST_ARGS)

certs: setup ## Make a local CA and a server certificate in certs/ (NAMES="host 192.0.2.1")
	mkdir -p $(CERTS)
	$(BIN)/python -m trustme --dir $(CERTS) --identities $(NAMES)
	chmod 600 $(CERTS)/*.key

clean: ## Remove all that make made
	rm -rf $(VENV) $(JSSIP)/node_modules dist build .hypothesis
	find . -name '.*_cache' -prune -exec rm -rf {} +
	find . -name __pycache__ -prune -exec rm -rf {} +
	rm -f certs/*.pem certs/*.key

$(INSTALLED): pyproject.toml
	@$(PYTHON) -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' || \
		{ echo 'make: needs Python 3.11 or newer with venv (Debian: apt install python3-venv); or name one: make PYTHON=python3.12 …' >&2; exit 1; }
	@echo 'make: the program and its development tools come into $(VENV): 540 MB, some minutes'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev,pjsip]'
	touch $@

$(JSSIP_INSTALLED): $(JSSIP)/package.json $(JSSIP)/package-lock.json
	@command -v npm >/dev/null || { echo 'make: npm is missing, the JsSIP tests need it (Debian: apt install nodejs npm)' >&2; exit 1; }
	npm ci --prefix $(JSSIP) --ignore-scripts --no-audit --no-fund --loglevel=error
	touch $@
