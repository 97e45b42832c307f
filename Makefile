# Everything starts from a bare clone with python3 alone. `make help` lists the targets.
PYTHON := .venv/bin/python
BASE_PYTHON ?= python3
KAFKA_PORT ?= 9092
CHAOS_MINUTES ?= 30
VENV := .venv/installed
COMPILE := uv pip compile --universal --fork-strategy fewest --generate-hashes --no-emit-index-url --no-annotate \
	--custom-compile-command "make lock" --quiet

.DEFAULT_GOAL := help
.PHONY: bench-auditlog bench-recovery bench-serving bench-sse bench-streaming chaos load-knee load-soak prove-privacy help demo run test lint lint-types lint-rest format kafka kafka-stop lock

help:
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16

$(VENV): requirements-dev.lock
	@$(if $(wildcard $(PYTHON)),$(PYTHON),$(BASE_PYTHON)) deploy/check_python.py
	test -x $(PYTHON) || $(BASE_PYTHON) -m venv .venv
	$(PYTHON) -m pip install --quiet --disable-pip-version-check --no-compile --require-hashes -r requirements-dev.lock
	touch $@

.env:
	$(BASE_PYTHON) deploy/write_env.py $@

demo: $(VENV) .env  ## Run every process on this machine, with a simulated shop
	$(PYTHON) manage.py demo $(ARGS)

run: $(VENV) .env  ## Run the Procfile's processes with the servers named in .env
	$(PYTHON) manage.py migrate --noinput
	PATH="$(CURDIR)/.venv/bin:$$PATH" honcho start

test: $(VENV) .env  ## Run every test that this machine can run; lists the skipped ones
	PYTHONDONTWRITEBYTECODE= $(PYTHON) -m pytest -n auto --dist loadfile --no-loadscope-reorder $(ARGS)

lint: $(VENV) .env  ## Run ruff, mypy, import-linter, Django's checks; check migrations
	$(MAKE) --no-print-directory -j2 lint-types lint-rest

lint-types:
	$(PYTHON) -m mypy

lint-rest:
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	.venv/bin/lint-imports
	$(PYTHON) manage.py check --fail-level WARNING
	$(PYTHON) manage.py makemigrations --check --dry-run
	$(PYTHON) manage.py features check

format: $(VENV)  ## Format the code with ruff
	$(PYTHON) -m ruff check --fix --quiet . || true
	$(PYTHON) -m ruff format .

kafka: $(VENV)  ## Start a single-node Apache Kafka in the background (KAFKA_PORT)
	$(PYTHON) -m devservers.kafka.broker start --port $(KAFKA_PORT)

kafka-stop: $(VENV)  ## Stop the Kafka that `make kafka` started
	$(PYTHON) -m devservers.kafka.broker stop

bench-streaming: $(VENV)  ## Measure the worker beside Quix Streams and plain Faust; writes bench/results/streaming.json
	$(PYTHON) -m bench.streaming --growth $(ARGS)

bench-recovery: $(VENV)  ## Measure recovery from a lost disk, a lost worker, a backlog; writes bench/results/recovery.json
	$(PYTHON) -m bench.recovery $(ARGS)

bench-serving: $(VENV)  ## Measure the feature read beside Feast and a bare Django view; writes bench/results/serving.json
	$(PYTHON) -m bench.serving $(ARGS)

bench-sse: $(VENV)  ## Measure a thousand event streams: memory, latency; writes bench/results/sse.json
	$(PYTHON) -m bench.sse $(ARGS)

bench-auditlog: $(VENV)  ## Measure the audit log: a decision with and without it, a million entries verified; writes bench/results/auditlog.json
	$(PYTHON) -m bench.auditlog $(ARGS)

load-knee: $(VENV)  ## Raise chat traffic until reads are late, for 1 to 3 API processes; writes bench/results/load_knee.json
	$(PYTHON) -m tests.load knee $(ARGS)

load-soak: $(VENV)  ## Run chat traffic for half an hour and measure growth; writes bench/results/load_soak.json
	$(PYTHON) -m tests.load soak $(ARGS)

chaos: $(VENV)  ## Kill every process and server under load, compare with DuckDB; writes bench/results/chaos.json (CHAOS_MINUTES, CHAOS_SEED)
	$(PYTHON) -m tests.chaos --minutes $(CHAOS_MINUTES) $(if $(CHAOS_SEED),--seed $(CHAOS_SEED))

prove-privacy: $(VENV)  ## Erase a person who is everywhere, search all files for what is left; writes bench/results/privacy.json
	$(PYTHON) -m bench.privacy $(ARGS)

lock:  ## Pin the dependencies of pyproject.toml (needs uv)
	$(COMPILE) pyproject.toml --output-file requirements.lock
	$(COMPILE) pyproject.toml --extra demo --group dev --output-file requirements-dev.lock
	$(COMPILE) --group bench-feast --output-file bench/contestants/feast.lock
	$(COMPILE) --group bench-quix --output-file bench/contestants/quix.lock
	$(PYTHON) -m deploy.wheels
