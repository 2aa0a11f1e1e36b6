# The project's commands. Each one first makes the environment that it needs.

PYTHON ?=
BROKER ?=
PAGE   ?=

# One stamp for each value of PYTHON, so that another PYTHON=… makes the environment again.
suffix := $(if $(PYTHON),-$(subst /,_,$(PYTHON)))
dev    := .venv/.installed-dev$(suffix)
bench  := .venv/.installed-bench$(suffix)
docs   := .venv/.installed-docs$(suffix)
python := .venv/bin/python
pytest := $(python) -m pytest -q -n 4 --dist loadscope --no-loadscope-reorder
code   := bridge app_adapter worker dead_letter deferred_event_bridge tests examples benchmarks

.PHONY: help env demo test test-all faults bench lint fuzz docs package rabbitmq servers databases clients browser redis docker

help:
	@echo "make demo            run the demo on SQLite, half a minute"
	@echo "make demo PAGE=1     run the demo, and serve the page over its data until Ctrl-C"
	@echo "make demo BROKER=URL run the demo on RabbitMQ at amqp://…"
	@echo "make test            run all units and a journey of each kind; they start private RabbitMQ nodes and databases"
	@echo "make test-all        run all tests, with every short ordeal and every mutant, half an hour"
	@echo "make faults          run every fault at full length, an hour or two; EVENTS=… SECONDS=… SEED=… JOBS=…"
	@echo "make bench           measure this project, Celery, Dramatiq, FastStream and Huey"
	@echo "make lint            run ruff and mypy"
	@echo "make fuzz            run a million damaged FastCGI exchanges, and damaged letters"
	@echo "make docs            build the documentation's site in build/docs; a warning is an error"
	@echo "make package         build the wheel and the source distribution in dist, the same bytes each time"
	@echo "make env             make only the environment, .venv; PYTHON=… chooses the interpreter"

env: $(dev)
	@:

$(dev): pyproject.toml requirements/dev.txt requirements/build.txt
	@scripts/make-env.sh .venv dev "$(PYTHON)"
	@touch $@

$(bench): $(dev) requirements/bench.txt
	@scripts/make-env.sh .venv bench
	@touch $@

$(docs): $(dev) requirements/docs.txt
	@scripts/make-env.sh .venv docs
	@touch $@

rabbitmq:
	@scripts/install-rabbitmq.sh

servers:
	@scripts/install-fastcgi-servers.sh

databases:
	@scripts/install-databases.sh

clients:
	@scripts/install-amqp-clients.sh
	@scripts/install-cloudevents-sdk.sh

browser: env
	@scripts/install-browser.sh

redis:
	@scripts/install-redis.sh

docker: env
	@scripts/install-docker.sh

demo: env
	@$(python) -m examples.demo $(if $(BROKER),--broker-url "$(BROKER)") $(if $(PAGE),--page)

test: env rabbitmq servers databases clients browser redis
	@$(pytest) -m "not long" tests

test-all: env rabbitmq servers databases clients browser redis docker
	@$(pytest) tests

faults: env rabbitmq servers databases
	@$(python) -m tests.faults.run $(if $(EVENTS),--events $(EVENTS)) $(if $(SECONDS),--seconds $(SECONDS)) $(if $(SEED),--seed $(SEED)) $(if $(JOBS),--jobs $(JOBS))

bench: $(bench) rabbitmq servers
	@$(python) -m benchmarks.run

lint: env
	@$(python) -m ruff check --quiet .
	@$(python) -m ruff format --quiet --check .
	@$(python) -m mypy --strict --explicit-package-bases --no-error-summary $(code)

fuzz: env
	@$(python) tests/fuzz/fuzz_fastcgi.py
	@$(python) tests/fuzz/fuzz_letters.py

docs: $(docs)
	@rm -rf build/docs
	@$(python) -m sphinx --fail-on-warning --keep-going --quiet -b html -d build/doctrees docs build/docs
	@echo "build/docs/index.html"

package: env
	@$(python) scripts/build_package.py dist
