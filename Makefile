# The developer's loop. Needs Python 3.11 or newer and make; everything else is fetched into .venv.
PYTHON ?= python3
ARGS   ?=
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip install --quiet --disable-pip-version-check
export PIP_USER = 0
# If the variable were set, each of the thousands of processes that tests start would compile our files again.
unexport PYTHONDONTWRITEBYTECODE

# The environment must be made again, although the lock did not change, if the checkout was copied or moved or its Python was
# removed.
ifneq ($(shell test -x $(BIN)/python && cat $(VENV)/checkout 2>/dev/null),$(CURDIR))
.PHONY: $(VENV)/runtime.lock
endif

.DEFAULT_GOAL := help
.PHONY: $(shell sed -n 's/^\([a-z-]*\):.*\#\# .*/\1/p' $(firstword $(MAKEFILE_LIST)))

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/runtime.lock ## Register a reader and show the mail: ARGS='--once --json' for scripts
	@$(BIN)/python -m mailpact_cli up --demo $(ARGS)

# Three workers for two processors: many tests wait for a program to start, a lease to end or a disk to write.
test: $(VENV)/dev.lock ## Run the tests, also on RabbitMQ and MariaDB (about a quarter of an hour)
	-@$(BIN)/python -m tests.servers fetch
	@$(BIN)/python -m pytest -q -m "not long" -n 3 --dist loadgroup --ignore tests/differential --ignore tests/polyglot $(ARGS)

test-differential: $(VENV)/dev.lock ## Compare the development broker with RabbitMQ, in Python, Go and Node (a minute)
	-@$(BIN)/python -m tests.servers fetch
	@$(BIN)/python -m pytest -q tests/differential $(ARGS)

test-polyglot: $(VENV)/dev.lock ## Run contracts and how-to pages in Python, Go, Node, Java, Rust (minutes the first time)
	@$(BIN)/python -m pytest -q tests/polyglot $(ARGS)

test-faults: $(VENV)/dev.lock ## Run the long tests: crashes, outages, 10,000 broken conversations and messages
	-@$(BIN)/python -m tests.servers fetch
	@MAILPACT_TEST_FUZZ_STREAMS=10000 \
	MAILPACT_TEST_MUTANTS=all \
	MAILPACT_TEST_KIT_ROUNDS=10 \
	MAILPACT_TEST_KILL_ROUNDS=50 \
	MAILPACT_TEST_SITE_KILL_ROUNDS=100 \
	MAILPACT_TEST_FUZZ_MESSAGES=10000 \
	MAILPACT_TEST_SIBLING_PAIRS=25000 \
	MAILPACT_TEST_CUTS_APART=1 \
	MAILPACT_TEST_MUTATED_MAILS=30000 \
	$(BIN)/python -m pytest -q \
		tests/faults \
		tests/integration/capture/test_mutated.py \
		tests/integration/database/test_migrate.py \
		tests/integration/devbroker/test_fuzz.py \
		tests/integration/consumer/test_fuzz.py \
		tests/integration/kit/test_mutants.py \
		tests/integration/kit/test_mailpact.py \
		tests/polyglot/test_contract_tests.py::test_the_sample_passes_every_case \
		tests/properties/contracts/test_deadline.py \
		tests/properties/contracts/test_keywords.py \
		tests/properties/contracts/test_siblings.py \
		$(ARGS)
	@$(BIN)/python -m pytest -q -m long --ignore tests/faults $(ARGS)

soak: $(VENV)/dev.lock ## Run the system under random faults for ten minutes, then check it: ARGS='--seconds 60 --seed 7'
	-@$(BIN)/python -m tests.servers fetch
	@$(BIN)/python -m tests.faults.soak $(ARGS)

test-cluster: $(VENV)/dev.lock ## Kill nodes of a RabbitMQ cluster of three while readers register (four minutes)
	-@$(BIN)/python -m tests.servers fetch rabbitmq mariadb
	@$(BIN)/python -m pytest -q -rP tests/faults/test_cluster.py $(ARGS)

bench: bench-validation bench-rendering bench-devbroker bench-smtp-client bench-capture bench-consumer bench-site ## Run all benchmarks that have a bound; exit 1 if a bound is missed (some minutes)

bench-validation: $(VENV)/dev.lock ## Measure validation beside jsonschema
	@$(BIN)/python benchmarks/validation.py $(ARGS)

bench-rendering: $(VENV)/dev.lock ## Measure rendering a mail beside the standard library
	@$(BIN)/python benchmarks/rendering.py $(ARGS)

bench-devbroker: $(VENV)/dev.lock ## Send 200,000 messages through the development broker
	@$(BIN)/python benchmarks/devbroker_soak.py $(ARGS)

bench-consumer: $(VENV)/dev.lock benchmarks/.venv/requirements.lock ## Measure the consumer beside three others; ARGS=--long adds 100,000 mails
	@$(BIN)/python -m benchmarks.consumer_speed $(ARGS)

bench-capture: $(VENV)/dev.lock ## Measure the capture server beside Mailpit, which go install builds (two minutes)
	@$(BIN)/python -m benchmarks.capture_speed $(ARGS)

bench-site: $(VENV)/dev.lock ## Measure the site: registrations beside argon2id, outages, page reads (four minutes)
	@$(BIN)/python -m benchmarks.site_speed $(ARGS)

bench-smtp-client: $(VENV)/dev.lock benchmarks/.venv/requirements.lock ## Measure the consumer's SMTP client beside aiosmtplib
	@$(BIN)/python -m benchmarks.smtp_client $(ARGS)

# The programs that the benchmarks measure against have libraries of their own, which no component uses.
benchmarks/.venv/requirements.lock: benchmarks/peers/requirements.lock
	@echo "installing the benchmarks' peers into benchmarks/.venv (once, about 20 s)" >&2
	@$(PYTHON) -m venv --clear benchmarks/.venv
	@benchmarks/.venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: -r $<
	@cp $< $@

test-newer: test-trixie test-sid ## Run the tests that need real servers on newer releases (each some five minutes)

# The packages of sid change every day. Some cannot be installed at times; the run names these and does not fail. The list of
# differences between brokers is kept for releases that do not change.
.PHONY: test-trixie test-sid
test-trixie test-sid: test-%: $(VENV)/dev.lock
	@export MAILPACT_TEST_DEBIAN=$*; \
	$(BIN)/python -m tests.servers fetch rabbitmq mariadb || test $* = trixie || export CI=; \
	$(BIN)/python -m pytest -q -m "real_server and not long" -n 2 --dist loadgroup --ignore tests/differential $(ARGS) && \
	{ test $* = sid || $(BIN)/python -m pytest -q -m real_server tests/differential $(ARGS); } # not on sid

test-newest-python: $(VENV)/dev.lock ## Run the capture server's tests on the newest CPython of Debian sid (three minutes)
	@$(BIN)/python -m tests.newest_python $(ARGS)

# No test here reads pytest's captured log records, which pytest would prepare three times for each test.
test-unit: $(VENV)/dev.lock ## Run the quick tests, which start no program, with fewer random examples (seconds)
	@$(BIN)/python -m pytest -q -p no:logging -n 2 --dist loadfile -m "not long and not heavy" --hypothesis-profile=quick --ignore tests/house/test_wheel.py tests/unit tests/house $(ARGS)

lint: $(VENV)/dev.lock ## Check style, types and the import rules between components
	@$(BIN)/ruff format --check --quiet . || { echo "make fmt would change the files above" >&2; $(BIN)/ruff format --check . ; exit 1; }
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo > .import_linter.log || { cat .import_linter.log; exit 1; }

fmt: $(VENV)/dev.lock ## Format the code, and correct style errors where ruff can
	@$(BIN)/ruff check --quiet --fix-only .
	@$(BIN)/ruff format --quiet .

LOCK := $(BIN)/uv pip compile pyproject.toml --extra fast --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --no-annotate --custom-compile-command 'make lock' --quiet
lock: $(VENV)/dev.lock ## Resolve the libraries again into requirements/*.lock (without addresses of indexes)
	@$(LOCK) --group build $(ARGS) -o requirements/runtime.lock
	@$(LOCK) --extra docs --group dev $(ARGS) -c requirements/runtime.lock -o requirements/dev.lock
	@cd benchmarks/peers && ../../$(BIN)/uv pip compile requirements.in --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --no-annotate --custom-compile-command 'make lock' --quiet $(ARGS) -o requirements.lock

# Not part of `.ci/run`: the list of advisories is a service on the internet, and its answers change from day to day.
audit: $(VENV)/dev.lock ## Look up each locked library in PyPI's list of advisories (needs the internet)
	@$(BIN)/uv tool run --quiet pip-audit@2.10.1 --strict --progress-spinner off --disable-pip --require-hashes \
	-r requirements/runtime.lock -r requirements/dev.lock -r benchmarks/peers/requirements.lock || { echo "make audit: an advisory is named above, or the list of advisories could not be read, and then nothing was audited" >&2; exit 1; }

compose-secrets: ## Make the passwords for compose.yaml in secrets/, once
	@./compose-secrets.sh

clean: ## Remove the environment, caches and the demo's data
	@rm -rf $(VENV) benchmarks/.venv .mailpact .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis build dist
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The installed lock is itself the stamp and is copied last, so an interrupted install starts again.
$(VENV)/runtime.lock: requirements/runtime.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Mailpact needs Python 3.11 or newer, and $(PYTHON) is not. If you have one under another name: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "$(PYTHON) has no venv. On Debian and Ubuntu: sudo apt install python3-venv" >&2; exit 1; }
	@echo "installing Mailpact's libraries into $(VENV) (once, about 20 s)" >&2
	@test -s $(VENV)/checkout && test "$$(cat $(VENV)/checkout)" = "$(CURDIR)" && $(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	@$(PIP) --require-hashes --only-binary :all: -r requirements/runtime.lock
	@$(PIP) --no-deps --no-build-isolation --no-index -e .
	@printf '%s\n' "$(CURDIR)" > $(VENV)/checkout
	@cp requirements/runtime.lock $@

$(VENV)/dev.lock: requirements/dev.lock $(VENV)/runtime.lock
	@echo "installing the tests' tools into $(VENV) (once, about 30 s)" >&2
	@$(PIP) --require-hashes --only-binary :all: -r requirements/dev.lock
	@cp requirements/dev.lock $@
