# Both main commands, `make demo` and `make test`, set up everything from nothing.
SHELL := bash
.DEFAULT_GOAL := help
.PHONY: help demo test test-rabbitmq check bench chaos chaos-storage lock clean setup
export FILE
# Hundreds of processes are started; each would compile again all that it imports.
unexport PYTHONDONTWRITEBYTECODE

help: ## show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | while IFS=$$'\t' read -r name what; \
		do printf '  make %-13s %s\n' "$$name" "$$what"; done

setup: # the virtual environment that the other commands run in
	@scripts/setup .venv 3.11 3.12 3.13

demo: ## send one picture through the whole system and show its result (FILE=path: your own)
	@deploy/install-debian.sh libmagic1 clamav-daemon
	@scripts/setup .venv 3.11 3.12 3.13
	@scripts/demo

test: ## run all tests against real servers, with coverage
	@deploy/install-debian.sh libmagic1 clamav-daemon chromium rabbitmq-server
	@scripts/setup .venv 3.11 3.12 3.13
	@scripts/wheelhouse
	@scripts/node-servers
	@scripts/test

test-rabbitmq: ## tell every story of the acceptance tests with RabbitMQ as broker
	@deploy/install-debian.sh libmagic1 clamav-daemon chromium rabbitmq-server
	@scripts/setup .venv 3.11 3.12 3.13
	@BROKER=rabbitmq scripts/with-libmagic .venv/bin/python -m pytest tests/acceptance

check: setup ## lint, format, types, layers, licences, known vulnerabilities
	@scripts/check

bench: setup ## measure, and print a table (SHORT=1: small batches; ONLY=)
	@scripts/node-servers
	@PYTHONPATH=tests scripts/with-libmagic .venv/bin/python -m benchmarks \
		$(if $(SHORT),--short) $(if $(ONLY),--only $(ONLY))

chaos: ## break everything under load and count what is lost (SHORT=1: minutes; ONLY=, SEED=)
	@deploy/install-debian.sh libmagic1 clamav-daemon rabbitmq-server
	@scripts/setup .venv 3.11 3.12 3.13
	@PYTHONPATH=tests scripts/with-libmagic .venv/bin/python -m chaos $(if $(SHORT),--short) \
		$(if $(ONLY),--only $(ONLY)) $(if $(SEED),--seed $(SEED))

chaos-storage: ## break the primary store in every way and see that all comes home (SHORT=1, ONLY=, SEED=)
	@deploy/install-debian.sh libmagic1 clamav-daemon
	@scripts/setup .venv 3.11 3.12 3.13
	@PYTHONPATH=tests scripts/with-libmagic .venv/bin/python -m chaos.storage $(if $(SHORT),--short) \
		$(if $(ONLY),--only $(ONLY)) $(if $(SEED),--seed $(SEED))

lock: ## lock the requirements anew (UPGRADE=1: to the newest versions)
	@scripts/lock

clean: ## remove what these commands made, except var/ (the demonstration's files)
	rm -rf .venv .venv-3.* wheelhouse build dist *.egg-info .coverage .coverage.* .hypothesis
	rm -rf tests/services/node/node_modules
	rm -rf .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
