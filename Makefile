# Two commands matter: `make demo` and `make test`. Both need Python 3.11 or later and make, nothing else.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
RUN := .venv/bin
DEV := .venv-dev/bin
BENCHMARKS := binning evaluation calibration memory store redis replicas decode http metrics
WITH_PEERS := binning evaluation

.PHONY: help demo test bench bench-peers readme lock clean

help: ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 14

demo: .venv/ready ## the main job on shipped data, with a service of its own
	@$(RUN)/driftline demo

test: .venv-dev/ready ## every gate: format, lint, types, import contracts, tests, coverage
	@PATH="$(CURDIR)/$(DEV):$$PATH" tests/gates.sh

bench: .venv-dev/ready ## every benchmark, beside the libraries that need no environment of their own
	@for script in $(BENCHMARKS); do \
		PYTHONPATH=tests $(DEV)/python tests/benchmarks/bench_$$script.py \
			$$(case " $(WITH_PEERS) " in *" $$script "*) echo --no-peers;; esac) || exit 1; \
	done

bench-peers: .venv-dev/ready ## those of statistics beside Evidently and whylogs, each in an environment of its own
	@for script in $(WITH_PEERS); do $(DEV)/python tests/benchmarks/bench_$$script.py || exit 1; done

readme: .venv-dev/ready ## renew the tables of the README that are made from the code
	@PYTHONPATH=. $(DEV)/python tests/readme_tables.py

lock: ## pin what pyproject.toml asks for, with hashes (needs uv)
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --upgrade \
		--custom-compile-command 'make lock' --group build --extra arrow pyproject.toml -o requirements.lock
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--custom-compile-command 'make lock' --group dev --extra arrow -c requirements.lock pyproject.toml -o requirements-dev.lock

clean: ## remove environments and caches
	rm -rf .venv .venv-dev .venv-peers .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage*

.venv/ready: requirements.lock pyproject.toml
	@$(call install,.venv,requirements.lock)

.venv-dev/ready: requirements-dev.lock pyproject.toml
	@$(call install,.venv-dev,requirements-dev.lock)

# The lock names every file by its hash; the project itself is installed in place, without asking the network again.
define install
echo "Setting up $(1) from $(2) (once)" && \
$(PYTHON) -c 'import sys; sys.exit("Driftline needs Python 3.11 or later" if sys.version_info < (3, 11) else 0)' && \
rm -rf $(1) && $(PYTHON) -m venv $(1) && \
$(1)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $(2) && \
$(1)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e . && \
touch $(1)/ready
endef
