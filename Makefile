VENV ?= .venv
PYTHON ?= python3
PY = $(VENV)/bin/python
FOLDERS = $(filter-out dexzoo,$(patsubst %/__init__.py,%,$(wildcard */__init__.py)))

# Trains, tests and draws MotionNet on the demo data.
demo: setup
	$(PY) experiments/run.py model=motionnet data=demo

# The quick suite, in as many processes as there are cores.
test: setup
	$(PY) -m pytest -m "not slow" -n auto --dist worksteal

# Everything.
test-all: setup
	$(PY) -m pytest -n auto --dist worksteal

# Changes the numeric code line by line: a change that no test notices is an error.
mutants: setup
	$(PY) -m tests.mutants

lint: setup .types
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/pyright --pythonpath $(PY)

# The site, in site/; nothing is imported or downloaded for it, and a broken link is an error.
docs: setup .types
	NO_MKDOCS_2_WARNING=1 $(VENV)/bin/mkdocs build --strict --quiet

setup: $(VENV)/.stamp

$(VENV)/.stamp: setup.cfg pyproject.toml constraints.txt
	test -x $(PY) || $(PYTHON) -m venv $(VENV)
	$(PY) -m pip install -q -c constraints.txt -e '.[dev]'
	touch $@

# Links that let pyright find `dexzoo.models` in models/: the editable install maps the names at run time only.
.types:
	mkdir -p $@/dexzoo
	for folder in $(FOLDERS); do ln -sfn ../../$$folder $@/dexzoo/$$folder; done
	for file in __init__ lazy; do ln -sfn ../../dexzoo/$$file.py $@/dexzoo/$$file.py; done

.PHONY: demo test test-all mutants lint docs setup .types
