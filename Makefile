# The project's commands. Each one makes what it needs first.

PYTHON ?=
BROKER ?=

# One stamp an interpreter asked for, so that another PYTHON=… is another environment and not ignored.
suffix := $(if $(PYTHON),-$(subst /,_,$(PYTHON)))
dev    := .venv/.installed-dev$(suffix)
bench  := .venv/.installed-bench$(suffix)
python := .venv/bin/python
code   := bridge app_adapter worker dead_letter tests examples benchmarks

.PHONY: help env demo test faults bench lint fuzz rabbitmq servers

help:
	@echo "make demo            the whole journey in half a minute, on SQLite"
	@echo "make demo BROKER=URL the same over RabbitMQ, at amqp://…"
	@echo "make test            all tests; they start RabbitMQ nodes of their own"
	@echo "make faults          every fault at length, an hour or two; EVENTS=… SECONDS=… SEED=… JOBS=…"
	@echo "make bench           measure, beside Celery, Dramatiq and Huey"
	@echo "make lint            ruff and mypy"
	@echo "make fuzz            a million broken FastCGI exchanges"
	@echo "make env             only make the environment, .venv; PYTHON=… chooses the interpreter"

env: $(dev)
	@:

$(dev): pyproject.toml constraints.txt
	@scripts/make-env.sh .venv dev "$(PYTHON)"
	@touch $@

$(bench): $(dev)
	@scripts/make-env.sh .venv bench
	@touch $@

rabbitmq:
	@scripts/install-rabbitmq.sh

servers:
	@scripts/install-fastcgi-servers.sh

demo: env
	@$(python) -m examples.demo $(if $(BROKER),--broker-url "$(BROKER)")

test: env rabbitmq servers
	@$(python) -m pytest -q -n 3 --dist loadscope --no-loadscope-reorder tests

faults: env rabbitmq servers
	@$(python) -m tests.faults.run $(if $(EVENTS),--events $(EVENTS)) $(if $(SECONDS),--seconds $(SECONDS)) $(if $(SEED),--seed $(SEED)) $(if $(JOBS),--jobs $(JOBS))

bench: $(bench) rabbitmq servers
	@$(python) -m benchmarks.run

lint: env
	@$(python) -m ruff check --quiet .
	@$(python) -m ruff format --quiet --check .
	@$(python) -m mypy --strict --explicit-package-bases --no-error-summary $(code)

fuzz: env
	@$(python) tests/fuzz/fuzz_fastcgi.py
