# Two commands matter: `make demo` and `make test`.  Both do all the set-up on a fresh machine.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
SOURCES := agent controller inventory tests scripts benchmarks

.PHONY: help demo test check soak bench pyz packages format clean

help: ## show this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1 /' | column -t -l 3

demo: $(READY) ## the main job on this very machine; ONCE=1 ends after the report
	@$(BIN)/verdelta demo $(if $(ONCE),--once)

test: $(READY) debian-packages ## every test; as root with real hosts, otherwise without them (and it says so)
	$(BIN)/python -m pytest --numprocesses 2 --dist loadgroup $(ARGUMENTS)

check: $(READY) ## formatting, linting, types, the floors of the architecture, and pages that are generated
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python scripts/write-section-reference --check
	$(BIN)/python scripts/write-policy-reference --check

soak: $(READY) debian-packages ## the long tests
	$(BIN)/python -m pytest -m soak

bench: $(READY) debian-packages ## the figures that the README quotes
	scripts/install-benchmark-peers
	$(BIN)/python -m benchmarks

pyz: $(READY) ## the agent as one file, the same bytes each time: dist/verdelta-agent.pyz
	$(BIN)/python -m verdelta_controller.fleet.agent_archive dist/verdelta-agent.pyz

packages: $(READY) ## the agent as .deb and .rpm, in dist
	$(BIN)/python -m agent.packaging.build dist

format: $(READY) ## put the sources into shape
	$(BIN)/ruff format $(SOURCES)
	$(BIN)/ruff check --fix $(SOURCES)

clean: ## remove what was built
	rm -rf .venv dist build .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis

# Debian packages that tests use; only root can install them, and tests that miss one say so.
.PHONY: debian-packages
debian-packages:
	@if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		scripts/install-debian-packages && \
		{ scripts/unpack-arm64-python || echo "Debian's Python for arm64 is not to be had here: its tests are skipped."; }; fi

$(READY): pyproject.toml agent/pyproject.toml controller/pyproject.toml requirements.lock
	@$(PYTHON) -c 'import sys; v = sys.version_info; v >= (3, 11) or sys.exit("Verdelta needs Python 3.11 or newer, and $(PYTHON) is %d.%d.  Name another one: make PYTHON=python3.12" % v[:2])'
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then apt-get -qq update && apt-get -qq install -y --no-install-recommends python3-venv >/dev/null; else echo "Python cannot make virtual environments here.  On Debian: apt-get install python3-venv" >&2; exit 1; fi; }
	@echo "Setting up .venv …"
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@test -x $(BIN)/uv || $(BIN)/python -m pip --quiet --disable-pip-version-check install uv
	@VIRTUAL_ENV=$(CURDIR)/.venv $(BIN)/uv pip install --quiet --requirement requirements.lock --editable agent --editable controller
	@touch $@
