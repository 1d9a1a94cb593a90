# Needs make and Python 3.11 to 3.13 with venv. Everything else is installed from requirements.lock into .venv, and
# each package is checked against its hash.

.DEFAULT_GOAL := help
.PHONY: help demo demo-destination erd test serve prove bench format lock clean \
	sbom newest mutants lock-pyairbyte test-pyairbyte lock-recipes test-recipes lock-validators validators \
	lint types yaml audit unit integration standard unit-3.13
.SUFFIXES:

PYTHON ?= python3.11 python3.12 python3.13 python3
PY := .venv/bin/python
UV := .venv/bin/uv
TYPED := components.py sandbox source_drift tools destination-drift/destination_drift

export PIP_DISABLE_PIP_VERSION_CHECK := 1
# In a network that re-signs TLS, only the system's certificates work. A machine without any uses uv's own.
SYSTEM_CERTIFICATES := $(wildcard /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt /etc/ssl/cert.pem)
export UV_SYSTEM_CERTS ?= $(if $(SYSTEM_CERTIFICATES),true,false)

# Prints the first of the candidates $(1) that is a Python for which $(2) is true. It runs each candidate, because a pyenv
# shim is on PATH even if its version is not selected.
first_python = for python in $(1); do \
		"$$python" -c 'import ensurepip, sys, venv; sys.exit(not ($(2)))' 2>/dev/null && { echo "$$python"; break; }; \
	done
SUPPORTED := (3, 11) <= sys.version_info < (3, 14)
IMAGE_VERSION := sys.version_info[:2] == (3, 13)
# The unit tests of each component, for a second version of Python; `make unit` runs all.
OF_THE_COMPONENTS := auth children components envelopes manifest statuses walks windows
# The connector's Docker image runs Python 3.13.
PYENV_SHIMS := $$(dirname "$$(command -v python3.13 || echo .)")
PYTHON_3_13 ?= python3.13 python3 \
	"$${PYENV_ROOT:-$$HOME/.pyenv}"/versions/3.13*/bin/python3.13 \
	"$(PYENV_SHIMS)"/../versions/3.13*/bin/python3.13 \
	"$$HOME"/.local/share/uv/python/cpython-3.13*/bin/python3.13

headline = @printf '\n== %s\n' '$(1)'

help: ## show this help
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2} \
		/^test:/ {steps = $$0; gsub(/^test: *| *##.*/, "", steps)} \
		END {printf "  The steps of test, each a target too: %s\n", steps}' $(MAKEFILE_LIST)

demo: .venv/ready ## archive the local Drift in DuckDB, compare every row and write a report
	@$(PY) -m tools.demo

demo-destination: .venv/ready ## write a DuckDB table of 1,000 people to the local Drift, with an audience and an erasure
	@$(PY) -m tools.demo.destination

test: lint types yaml audit unit integration standard unit-3.13 ## run everything that CI runs
	$(call headline,All passed)

serve: .venv/ready ## start the local Drift, a mock of Drift's API; make serve ARGS=--help lists the options
	@$(PY) -m sandbox serve $(ARGS)

erd: .venv/ready
	@$(PY) -m tools.erd

prove: .venv/ready ## run the reliability tests for an hour and write docs/reliability.md; ARGS='--only faults' runs a part
	@$(PY) -m tools.evidence $(ARGS)

bench: .venv/ready ## measure speed, requests, memory and growth; make bench ARGS=--help lists the options
	@$(PY) -m tools.bench $(ARGS)

format: .venv/ready ## format the code and fix lint errors where possible
	@$(PY) -m ruff format .
	@$(PY) -m ruff check --fix .

lock: .venv/ready ## regenerate requirements.lock from pyproject.toml; UPGRADE=1 uses the newest versions
	@$(UV) pip compile pyproject.toml --extra archive --group dev --universal --python-version 3.11 --generate-hashes --quiet \
		$(if $(UPGRADE),--upgrade) --custom-compile-command 'make lock' --output-file requirements.lock

# Prints the version of airbyte-cdk in a lock file.
version_of_cdk = awk -F '[= ]+' '/^airbyte-cdk==/ {print $$2}'

newest: .venv/ready ## run the unit tests with the newest airbyte-cdk that pyproject.toml allows
	@mkdir -p .tmp
	@cp requirements.lock .tmp/newest.lock
	@$(UV) pip compile pyproject.toml --extra archive --group dev --universal --python-version 3.11 --generate-hashes --quiet \
		--no-header --upgrade-package airbyte-cdk --output-file .tmp/newest.lock
	@newest=$$($(version_of_cdk) .tmp/newest.lock); locked=$$($(version_of_cdk) requirements.lock); \
	printf '\n== Unit tests with airbyte-cdk %s, the newest allowed; %s is locked\n' "$$newest" "$$locked"; \
	[ "$$newest" != "$$locked" ] || echo 'The newest version is the locked one, so this repeats make unit.'
	@$(UV) venv --quiet --clear --python $(PY) .venv-newest
	@$(UV) pip sync --quiet --require-hashes --only-binary :all: --python .venv-newest/bin/python .tmp/newest.lock
	@.venv-newest/bin/python -m pytest -n 2 unit_tests/test_*.py -p no:cacheprovider

sbom: .venv/ready ## write build/sbom.json, a CycloneDX list of the packages that the connector runs with
	@mkdir -p .tmp
	@$(UV) pip compile pyproject.toml --constraint requirements.lock --python-version 3.11 --python-platform linux \
		--generate-hashes --quiet --output-file .tmp/runtime.lock
	@$(UV) venv --quiet --clear --python $(PY) .tmp/runtime
	@$(UV) pip sync --quiet --require-hashes --only-binary :all: --python .tmp/runtime/bin/python .tmp/runtime.lock
	@SOURCE_DATE_EPOCH= $(PY) -m cyclonedx_py environment --pyproject pyproject.toml --output-reproducible \
		.tmp/runtime/bin/python > .tmp/sbom.json
	@$(PY) -m tools.supply_chain.sbom build/sbom.json < .tmp/sbom.json

mutants: .venv/ready ## list the changes of components.py that no test notices, with mutmut; ONLY='components.x*NamedPages*' runs a part
	@$(PY) -m mutmut run $(if $(ONLY),'$(ONLY)')
	@$(PY) -m mutmut results | grep -v ': not checked$$' || echo 'The tests noticed every change that was tried.'

lock-pyairbyte: .venv/ready
	@$(UV) pip compile pyproject.toml integration_tests/pyairbyte/requirements.in --group sandbox --universal \
		--python-version 3.11 --generate-hashes --quiet $(if $(UPGRADE),--upgrade) \
		--custom-compile-command 'make lock-pyairbyte' --output-file integration_tests/pyairbyte/requirements.lock

# PyAirbyte creates a separate environment for the connector with uv. The locked packages are installed there too.
test-pyairbyte: .venv-pyairbyte/ready
	$(call headline,Test of the PyAirbyte recipe)
	@export PATH='$(CURDIR)/.venv-pyairbyte/bin':"$$PATH"; \
	export UV_CONSTRAINT='$(CURDIR)/integration_tests/pyairbyte/requirements.lock'; \
	UV_BUILD_CONSTRAINT="$$UV_CONSTRAINT" python -m pytest -p no:cacheprovider integration_tests/pyairbyte

.venv-pyairbyte/ready: integration_tests/pyairbyte/requirements.lock .venv/ready
	@echo 'Installing integration_tests/pyairbyte/requirements.lock'
	@$(UV) venv --quiet --clear --python $(PY) .venv-pyairbyte
	@$(UV) pip sync --quiet --require-hashes --only-binary :all: --python .venv-pyairbyte/bin/python \
		integration_tests/pyairbyte/requirements.lock
	@$(UV) pip install --quiet --no-deps --no-build-isolation --python .venv-pyairbyte/bin/python --editable .
	@touch $@

lock-recipes: .venv/ready
	@$(UV) pip compile integration_tests/recipes/requirements.in --universal --python-version 3.11 --generate-hashes \
		--quiet $(if $(UPGRADE),--upgrade) --custom-compile-command 'make lock-recipes' \
		--output-file integration_tests/recipes/requirements.lock

test-recipes: .venv-recipes/ready
	$(call headline,Tests of the recipes for cron and the tools in .venv-recipes)
	@$(PY) -m pytest -n 2 integration_tests/recipes

.venv-recipes/ready: integration_tests/recipes/requirements.lock .venv/ready
	@echo 'Installing integration_tests/recipes/requirements.lock'
	@$(UV) venv --quiet --clear --python $(PY) .venv-recipes
	@$(UV) pip sync --quiet --require-hashes --only-binary :all: --python .venv-recipes/bin/python \
		integration_tests/recipes/requirements.lock
	@touch $@

lock-validators: .venv/ready
	@$(UV) pip compile tools/validators/requirements.in --universal --python-version 3.11 --generate-hashes \
		--quiet $(if $(UPGRADE),--upgrade) --custom-compile-command 'make lock-validators' \
		--output-file tools/validators/requirements.lock

# The validators depend on PyAirbyte, which sends usage statistics unless DO_NOT_TRACK is set.
validators: .venv-validators/ready
	$(call headline,Validators of Airbyte)
	@DO_NOT_TRACK=1 .venv-validators/bin/python -W ignore -m tools.validators

.venv-validators/ready: tools/validators/requirements.lock .venv/ready
	@echo 'Installing tools/validators/requirements.lock'
	@$(UV) venv --quiet --clear --python $(PY) .venv-validators
	@$(UV) pip sync --quiet --require-hashes --only-binary :all: --python .venv-validators/bin/python \
		tools/validators/requirements.lock
	@touch $@

clean: ## remove everything that make and the tools created
	@rm -rf .venv .venv-3.13 .venv-newest .venv-pyairbyte .venv-recipes .venv-validators .tmp build dist .coverage .hypothesis mutants .mypy_cache .pytest_cache .ruff_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The steps of `make test`. Each is also a target. They never run in parallel, whatever -j says.
.NOTPARALLEL:

lint: .venv/ready
	$(call headline,Lint and format: ruff)
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .

types: .venv/ready
	$(call headline,Types: mypy)
	@$(PY) -m mypy $(TYPED)

yaml: .venv/ready
	$(call headline,YAML: yamllint)
	@$(PY) -m yamllint --strict .

audit: .venv/ready
	$(call headline,Known vulnerabilities in requirements.lock: pip-audit)
	@mkdir -p .tmp
	@# Exit code 1 with a table means vulnerabilities. Without a table, the advisory service could not be reached.
	@$(PY) -m pip_audit --requirement requirements.lock --require-hashes --disable-pip --progress-spinner off \
		> .tmp/audit.txt 2> .tmp/audit.log; code=$$?; \
	if [ $$code = 1 ] && [ ! -s .tmp/audit.txt ]; then \
		echo "NOT AUDITED: $$(tail -n 1 .tmp/audit.log)"; \
	else \
		grep -v 'not be audited' .tmp/audit.txt; \
		echo "Packages not audited: $$(grep -c 'not be audited' .tmp/audit.txt). $$(tail -n 1 .tmp/audit.log)"; \
		exit $$code; \
	fi

unit: .venv/ready
	$(call headline,Unit tests)
	@$(PY) -m pytest -n 2 unit_tests destination-drift/unit_tests

integration: .venv/ready
	$(call headline,Integration tests)
	@$(PY) -m pytest -n 4 integration_tests
	@# On its own: its processes are forked from a server that has loaded the destination instead of the source.
	@$(PY) -m pytest -n 4 destination-drift/integration_tests

standard: .venv/ready
	$(call headline,Standard tests: airbyte-cdk connector test against the local Drift)
	@$(PY) -m integration_tests.standard_tests

unit-3.13: .venv/ready
	$(call headline,Unit tests of the connector on Python 3.13, with the coverage of components.py)
	@python=$$($(call first_python,$(PYTHON_3_13),$(IMAGE_VERSION))); \
	if [ -z "$$python" ]; then \
		echo 'SKIPPED: no Python 3.13 was found. Set PYTHON_3_13=path if you have one.'; \
	else \
		set -e; \
		.venv-3.13/bin/python -c '' 2>/dev/null || $(UV) venv --quiet --clear --python "$$python" .venv-3.13; \
		$(UV) pip sync --quiet --require-hashes --only-binary :all: --python .venv-3.13/bin/python requirements.lock; \
		.venv-3.13/bin/python -m pytest -n 2 -p no:cacheprovider \
			--cov --cov-report=term-missing --cov-fail-under=95 \
			$(foreach part,$(OF_THE_COMPONENTS),unit_tests/test_$(part).py); \
	fi

# The stamp file is written last, so that an interrupted installation is repeated.
.venv/ready: requirements.lock pyproject.toml
	@if ! $(PY) -c 'import pip' 2>/dev/null; then \
		python=$$($(call first_python,$(PYTHON),$(SUPPORTED))); \
		if [ -z "$$python" ]; then \
			echo 'No Python 3.11, 3.12 or 3.13 with venv was found (tried: $(PYTHON)). Set PYTHON=path to use another.' >&2; \
			exit 1; \
		fi; \
		echo "Creating .venv with $$("$$python" --version)"; \
		"$$python" -m venv --clear .venv; \
	fi
	@echo 'Installing requirements.lock'
	@sed -n '/^uv==/,/^[^ ]/{/^uv==/p;/^ .*--hash/p;}' requirements.lock > .venv/uv.txt
	@$(PY) -m pip install -qq --require-hashes --no-deps --requirement .venv/uv.txt
	@$(UV) pip sync --quiet --require-hashes --only-binary :all: --python $(PY) requirements.lock
	@$(UV) pip install --quiet --no-deps --no-build-isolation --python $(PY) --editable .
	@touch $@
