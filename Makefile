# What .ci/run, the commit hooks and people run; `make` alone runs every check.
VENV ?= .venv
PYTHON ?= $(VENV)/bin/python
# Processes of the tests.
WORKERS ?= 2
# Built documentation and the oldest supported versions; git ignores it.
WORK ?= $(CURDIR)/build

.PHONY: all install format format-check lint types docs oldest test fuzz

all: format-check lint types docs oldest test

install:
	python3 -m venv $(VENV) && $(VENV)/bin/pip install -e ".[test]"

format:
	$(PYTHON) -m ruff format .
	$(PYTHON) -m ruff check --fix .

format-check:
	$(PYTHON) -m ruff format --check .

lint:
	$(PYTHON) -m ruff check .

types:
	$(PYTHON) -m mypy

# A copy, since the gallery writes beside its sources. At its end every link inside what was built is followed
# (docs/_extensions/whole.py).
docs:
	rm -rf "$(WORK)/docs" "$(WORK)/html"
	mkdir -p "$(WORK)"
	cp -r docs "$(WORK)/docs"
	$(PYTHON) -m sphinx -W --keep-going --fresh-env --quiet -b html "$(WORK)/docs" "$(WORK)/html"

# Beside the same torch and NumPy. pandas 2 needs pytz; scikit-learn 1.6 uses what SciPy 1.18 removes, and its estimator
# checks do not import beside array-api-compat without the variable.
oldest: export PYTHONPATH = $(WORK)/oldest
oldest: export SCIPY_ARRAY_API = 1
oldest:
	rm -rf "$(WORK)/oldest"
	env -u PYTHONPATH $(PYTHON) -m pip install --no-deps --only-binary :all: --target "$(WORK)/oldest" \
		scikit-learn==1.6.1 modAL-python==0.4.2.1 skorch==1.1.0 "pandas<3" pytz "scipy<1.18"
	$(PYTHON) -c 'import modAL, pandas, sklearn; \
		print("scikit-learn", sklearn.__version__, "pandas", pandas.__version__); \
		assert sklearn.__version__ == "1.6.1" and pandas.__version__ < "3" and "oldest" in modAL.__file__'
	$(PYTHON) -m pytest -n $(WORKERS) -p no:cacheprovider \
		tests/test_common.py tests/meta tests/learners tests/strategies

test:
	$(PYTHON) -m pytest -n $(WORKERS)

# Much longer than what `test` holds of it; another seed finds other cases.
fuzz: export FUZZ_CASES ?= 10000
fuzz: export FUZZ_SEED ?= $(shell date +%s)
fuzz:
	$(PYTHON) -m pytest -p no:cacheprovider tests/fuzz
