# Two commands are enough: `make book` and `make test`. Both create .venv and do nothing twice.
# Another Python: make book PYTHON=python3.12

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
SITE   := _build/html/index.html
PORT   ?= 8000

# One thread: steadier times, and sums in one order. Override from the environment.
export OMP_NUM_THREADS ?= 1
export OPENBLAS_NUM_THREADS ?= 1
export MKL_NUM_THREADS ?= 1
export TQDM_DISABLE ?= 1
export PIP_DISABLE_PIP_VERSION_CHECK = 1
# Kernels run with this .venv's interpreter, whatever kernels the machine has installed.
export JUPYTER_PREFER_ENV_PATH = 1

# The pages in book/solutions hold the code of solutions/, so they are not executed.
NOTEBOOKS    := $(wildcard book/*.ipynb solutions/*.ipynb)
# The exercises can be downloaded from the site; a new one comes with its page and its definition in src.
BOOK_SOURCES := _config.yml _toc.yml $(shell find book experiments src -type f \
    -not -path '*/__pycache__/*' -not -path '*/.*' -not -path '*.egg-info/*' 2>/dev/null | sort)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help book test test-class lint format notebooks exercises experiments timings bench bench-class lab grade progress grade-class autograders serve clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

book: $(SITE) ## Build the site from the stored outputs
	@echo "Open $(CURDIR)/$(SITE)"

test: lint $(SITE) ## Check everything: style, types, the site, the tests, every notebook again
	@$(BIN)/python -m pytest -q -n 2 --dist loadscope --nbval --nbval-current-env \
	    --nbval-cell-timeout=120 --nbval-sanitize-with=tests/nbval_sanitize.cfg tests src $(NOTEBOOKS)

test-class: $(VENV)/.test ## Try every hostile submission against the grader (a part of them is in make test)
	@$(BIN)/python -m pytest -q -n 2 --dist loadscope -m "whole_class or not whole_class" tests/hostile

lint: $(VENV)/.test ## Check style and types
	@$(BIN)/ruff check --quiet . || { echo "make lint: 'make format' mends most of the above"; exit 1; }
	@$(BIN)/ruff format --quiet --check . || { echo "make lint: run 'make format'"; exit 1; }
	@$(BIN)/mypy --no-error-summary

format: $(VENV)/.test ## Format the code and mend what can be mended
	@$(BIN)/ruff check --quiet --fix . ; $(BIN)/ruff format .

notebooks: $(VENV)/.test ## Execute the chapters again and store their outputs (some: NOTEBOOKS=book/02_rnn.ipynb)
	@$(BIN)/python -m tools.notebooks $(NOTEBOOKS)

exercises: $(VENV)/.test ## Make the exercises and the solution pages from the masters in solutions/
	@$(BIN)/python -m tools.exercises $(ARGS)

experiments: $(VENV)/.test ## Run the experiments whose script has changed since
	@$(BIN)/python -m tools.experiments

timings: $(VENV)/.test ## Measure each chapter's run time on this machine and write it into the book
	@$(BIN)/python -m tools.timings

bench: $(VENV)/.test ## Measure the speed against PyTorch and write benchmarks/RESULTS.md
	@$(BIN)/python -m benchmarks.run

bench-class: $(VENV)/.test ## Grade a class of 200 and write benchmarks/CLASS.md
	@$(BIN)/python -m benchmarks.class_grading $(ARGS)

lab: $(VENV)/.lab ## Open JupyterLab on the exercises (another port: PORT=8889)
	@exec $(BIN)/jupyter lab --ServerApp.root_dir='$(CURDIR)' --LabApp.default_url=/lab/tree/exercises \
	    $(if $(filter-out file,$(origin PORT)),--ServerApp.port=$(PORT)) $(ARGS)

# A file whose name has spaces, as browsers save it, is one file: make grade NB='05_lstm (1).ipynb'
grade: $(if $(NB),$(VENV)/.test) ## Grade exercises: NB=exercises/01_neurons.ipynb (for a program: ARGS=--json)
	@test -n "$$NB" || { echo "make grade: name the file: make grade NB=exercises/01_neurons.ipynb"; exit 2; }; \
	if [ -f "$$NB" ]; then set -- "$$NB"; else set -- $$NB; fi; $(BIN)/python -m unrolled.grade $(ARGS) "$$@"

progress: $(VENV)/.test ## Show where you stand in all exercises
	@$(BIN)/python -m unrolled.grade --progress $(ARGS)

# 1 says that some submissions need a look, which the summary has told.
grade-class: $(if $(DIR),$(VENV)/.test) ## Grade a class: DIR=submissions OUT=grades.csv (more: ARGS='--jobs 4')
	@test -n "$$DIR" || { echo "make grade-class: name the folder: make grade-class DIR=submissions"; exit 2; }; \
	$(BIN)/python -P -m unrolled.grade --class "$$DIR" --out "$${OUT:-grades.csv}" $(ARGS) || \
	    { status=$$?; [ $$status -eq 1 ] || exit $$status; }

autograders: $(VENV)/.test ## Make a zip an exercise for Gradescope and for containers, in dist/autograders
	@$(BIN)/python -m tools.autograders $(ARGS)

serve: $(SITE) ## Serve the site on this machine (another port: PORT=8001)
	@echo "http://localhost:$(PORT)"; exec $(BIN)/python -m http.server --bind 127.0.0.1 --directory _build/html $(PORT)

clean: ## Remove everything that make created
	@rm -rf _build build dist $(VENV) src/*.egg-info .ruff_cache .mypy_cache .pytest_cache

# The list of sources changes when one is added or deleted; the site depends on the list as well.
_build/sources: FORCE
	@mkdir -p _build; echo '$(BOOK_SOURCES)' | cmp -s - $@ || echo '$(BOOK_SOURCES)' > $@
FORCE:

# Always a whole build: an incremental one would repeat neither the warnings nor the menus of unchanged pages.
$(SITE): $(VENV)/.book _build/sources $(BOOK_SOURCES)
	@rm -rf _build/html _build/.doctrees
	@$(BIN)/jupyter-book build -W -n --keep-going . > _build/book.log 2>&1 || { rm -rf _build/html; \
	    echo "make book: $$( (grep -m1 -E 'WARNING|ERROR' _build/book.log || tail -n1 _build/book.log) \
	    | sed "s|$$(printf '\033')\[[0-9;]*m||g; s|$(CURDIR)/||") (all of it: _build/book.log)"; exit 1; }
	@test -f $@ && touch $@

# A stamp is written only after its install has ended well, so an interrupted one is done again.
INSTALL := $(BIN)/python -m pip install --quiet
define failed
{ echo "make: the install failed; check the connection, then 'make clean' and again"; exit 1; }
endef

$(VENV)/.book: requirements-book.txt
	@command -v $(PYTHON) >/dev/null || \
	    { echo "make: no $(PYTHON) here; install Python 3.11 or newer, or name one: make book PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "make: $$($(PYTHON) -V) is too old; name Python 3.11 or newer: make book PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	    { echo "make: Python's venv module is missing; on Debian and Ubuntu: sudo apt install python3-venv"; exit 1; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV) || $(failed)
	@echo "Installing what the book needs into $(VENV) …"
	@$(INSTALL) -r requirements-book.txt || $(failed)
	@touch $@

$(VENV)/.test: $(VENV)/.book requirements.txt requirements-data.txt pyproject.toml
	@echo "Installing what the tests need into $(VENV) …"
	@$(INSTALL) -r requirements.txt || $(failed)
	@$(INSTALL) --no-deps --no-build-isolation --require-hashes -r requirements-data.txt || $(failed)
	@$(INSTALL) --no-deps --no-build-isolation -e . || $(failed)
	@touch $@

$(VENV)/.lab: $(VENV)/.test requirements-lab.txt
	@echo "Installing JupyterLab into $(VENV) …"
	@$(INSTALL) --no-deps -r requirements-lab.txt || $(failed)
	@# Else the first thing a newcomer sees is a question whether it may fetch news from another host.
	@$(BIN)/jupyter labextension disable '@jupyterlab/apputils-extension:announcements' 2>/dev/null
	@touch $@
