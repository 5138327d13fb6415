# What .ci/run, the commit hooks and people run; `make` alone runs every check.
VENV ?= .venv
PYTHON ?= $(VENV)/bin/python
# Processes of the tests.
WORKERS ?= 2
# Built documentation and packages, and the oldest supported versions; git ignores it.
WORK ?= $(CURDIR)/build

.PHONY: all install format format-check lint types docs oldest package test fuzz

all: format-check lint types docs oldest package test

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

# From a copy, since a build writes beside its sources. The wheel has an environment of its own, where a .pth file shows
# the packages of $(PYTHON), but not its editable skal: what .pth files name there is not followed.
package: export PYTHONPATH =
package: DIR = $(WORK)/package
package:
	rm -rf "$(DIR)"
	mkdir -p "$(DIR)/source" "$(DIR)/run"
	cp -r .ci docs skal tests CITATION.cff LICENSE MANIFEST.in Makefile README.md pyproject.toml setup.cfg "$(DIR)/source"
	$(PYTHON) -m build --quiet --outdir "$(DIR)/dist" "$(DIR)/source"
	$(PYTHON) -m twine check --strict "$(DIR)/dist"/*
	$(PYTHON) .ci/check_package.py "$(DIR)/dist"
	$(PYTHON) -m venv --without-pip "$(DIR)/venv"
	$(PYTHON) -m pip --python "$(DIR)/venv/bin/python" install --no-deps "$(DIR)/dist"/*.whl
	$(PYTHON) -c 'import sys, sysconfig; here = sysconfig.get_path("purelib"); \
		there = sysconfig.get_path("purelib", vars={"base": sys.argv[1]}); \
		open(f"{there}/packages.pth", "w").write(f"{here}\n")' "$(DIR)/venv"
	cd "$(DIR)/run" && ../venv/bin/python -c 'import skal, sys; print(skal.__file__); \
		assert skal.__file__.startswith(sys.prefix)'
	cd "$(DIR)/run" && ../venv/bin/skal --version
	cd "$(DIR)/run" && ../venv/bin/python -m pytest -c "$(CURDIR)/pyproject.toml" --rootdir . -p no:cacheprovider \
		-n $(WORKERS) --pyargs skal

test:
	$(PYTHON) -m pytest -n $(WORKERS)

# Much longer than what `test` holds of it; another seed finds other cases.
fuzz: export FUZZ_CASES ?= 10000
fuzz: export FUZZ_SEED ?= $(shell date +%s)
fuzz:
	$(PYTHON) -m pytest -p no:cacheprovider tests/fuzz
