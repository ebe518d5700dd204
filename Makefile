# Everything that the project needs is installed into .venv by these targets: Python 3.11 or later is all they ask for.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# Half of the suite waits for servers and clocks: one more than there are cores.
WORKERS ?= 3

.PHONY: plugins help demo test fast lint types bench simulate bugs matrix model power storage kill kill-nodes races faults faults-systems soak mutation lock clean schemathesis fuzz peers real-tryton real-tryton-grade real-pretix real-pretix-grade

help:  ## say what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

$(READY): setup.py requirements.lock plugins/entry_points.txt
	@test -n "$(PYTHON)" || { echo "Python 3.11 or later is needed; install it, or say PYTHON=/path/to/python"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "$(PYTHON) is too old: Python 3.11 or later is needed; say PYTHON=/path/to/python"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' \
	  || { echo "$(PYTHON) has no venv; on Debian and Ubuntu: apt-get install python3-venv"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $(READY)

demo: $(READY)  ## set everything up, tell the day's story, leave it running
	$(BIN)/gateway demo $(ARGS)

test: $(READY) lint types  ## the whole suite
	@# What fails beside others is run once more by itself: it is named either way, and broken if it fails again.
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal $(ARGS); status=$$?; test $$status -ne 1 || { \
	  echo "--- the tests that failed, once more and alone ---"; \
	  $(BIN)/python -m pytest -n 0 --last-failed --last-failed-no-failures none; status=$$?; }; exit $$status

fast: $(READY)  ## the suite without what takes more than seconds
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -m "not slow" $(ARGS)

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: $(READY)
	$(BIN)/mypy

bench: $(READY)  ## measure ratios against baselines of the same run
	$(BIN)/python -m benchmarks.run $(ARGS)
	@echo; echo "What pricing costs of it, and how it grows with lines and candidates:"
	@$(BIN)/python -m benchmarks.pricing

N ?= 20000
SEED ?= 1
simulate: $(READY)  ## N= simulated checkouts under faults, from SEED= on; ARGS="--jobs 2 --resume" for hours of it
	$(BIN)/python -m tests.simulation.run --checkouts $(N) --seed $(SEED) $(ARGS)

bugs: $(READY)  ## plant every known bug into the engine, one at a time; the simulation must catch each
	$(BIN)/python -m tests.simulation.catch $(ARGS)

matrix: $(READY)  ## every fault on every leg and kind of system, then two faults at a time
	$(BIN)/python -m tests.matrix.run $(ARGS)

model: $(READY)  ## N= walks of the engine's state machine against its model, from SEED= on
	$(BIN)/python -m tests.model.run --walks $(N) --seed $(SEED) $(ARGS)

power: $(READY)  ## N= power cuts of a disk that forgets, machines from SEED= on; goes on where it was stopped
	$(BIN)/python -m tests.power.run power --count $(N) --seed $(SEED) $(ARGS)

storage: $(READY)  ## N= faults of the storage, then a real server's, each kind with and without a kill; goes on where it was stopped
	$(BIN)/python -m tests.power.run storage --count $(N) --seed $(SEED) $(ARGS)
	$(BIN)/python -m tests.store.play

# The runs below have a total of their own where no N= is said; they go on where they were stopped (ARGS=--help).
TOTAL = $(if $(filter command environment,$(firstword $(origin N))),--total $(N))

kill: $(READY)  ## N= kill -9 of the real server under load on SQLite, each followed by an audit
	$(BIN)/python -m tests.long.kill $(TOTAL) $(ARGS)

kill-nodes: $(READY)  ## N= the same on PostgreSQL with two nodes, of which one dies for good
	$(BIN)/python -m tests.long.kill --nodes $(TOTAL) $(ARGS)

races: $(READY)  ## N= races of many clients over processes, on SQLite and on PostgreSQL
	$(BIN)/python -m tests.long.races $(TOTAL) $(ARGS)

faults: $(READY)  ## every fault of every leg under every kind of adapter, and pairs of them, over sockets
	$(BIN)/python -m tests.long.faults $(TOTAL) $(ARGS)

faults-systems: $(READY)  ## every fault of every industry's legacy system, each in three ways
	$(BIN)/python -m tests.long.systems $(TOTAL) $(ARGS)

soak: $(READY)  ## MINUTES= of mixed load on a real server; memory, threads, descriptors and files must stay flat
	$(BIN)/python -m tests.long.soak --minutes $(if $(filter command environment,$(firstword $(origin MINUTES))),$(MINUTES),60) $(ARGS)

mutation: $(READY)  ## change each rule of the decision, the money and the keys in small ways; their tests must notice (ARGS=GROUP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[mutation]'
	$(BIN)/python -m tests.mutation.run $(ARGS)

schemathesis: $(READY)  ## five minutes of generated requests against a running server
	$(BIN)/python -m tests.api.fuzz $(ARGS)

MINUTES ?= 10
fuzz: $(READY)  ## MINUTES= of coverage-guided fuzzing of every reader of a wire format
	$(BIN)/python -m pip install --quiet --disable-pip-version-check atheris || echo "no atheris here: plain mutation"
	$(BIN)/python -W ignore -m tests.sdk.fuzz --minutes $(MINUTES) $(ARGS)

peers: $(READY)  ## against what nobody here wrote: MariaDB, SFTP, SOAP, a bank host, a card processor
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[soap,iso8583,sftp,dbf,mysql,mssql,serial]' asyncssh spyne
	test -x var/peers/mariadb/usr/sbin/mariadbd -o -x /usr/sbin/mariadbd || $(BIN)/python -m tests.sdk.mariadb
	test -x var/peers/iso8583sim/bin/iso8583sim || { $(PYTHON) -m venv --clear var/peers/iso8583sim \
	  && var/peers/iso8583sim/bin/python -m pip install --quiet --disable-pip-version-check iso8583sim==1.6.0; }
	var/peers/localstripe/bin/python -c 'import localstripe' 2>/dev/null || { $(PYTHON) -m venv --clear var/peers/localstripe \
	  && var/peers/localstripe/bin/python -m pip install --quiet --disable-pip-version-check localstripe==1.15.10; }
	$(BIN)/python -m pytest -n 0 tests/sdk tests/plugins/bankhost tests/plugins/stripe $(ARGS)

real-tryton: $(READY)  ## the Tryton adapter against a real Tryton with a PostgreSQL of its own, installed into var/tryton at the first run
	O2O_REAL_TRYTON=1 $(BIN)/python -m pytest -n 0 --timeout 600 tests/plugins/tryton $(ARGS)

real-tryton-grade: $(READY)  ## the conformance suite on the Tryton adapter, with faults between it and a real Tryton
	$(BIN)/gateway plugins check --record docs/evidence/conformance.json tryton $(ARGS)
	$(BIN)/python -m docs.generate

real-pretix: $(READY)  ## the pretix adapter against a real pretix, installed and migrated into var/real/pretix at the first run
	$(BIN)/python -W ignore -m plugins.pretix.ground
	$(BIN)/python -m pytest -n 0 --timeout 900 tests/plugins/pretix/real_*.py $(ARGS)

real-pretix-grade: $(READY)  ## the conformance suite on the pretix adapter, with faults between it and a real pretix
	$(BIN)/python -W ignore -m plugins.pretix.ground
	$(BIN)/gateway plugins check --record docs/evidence/conformance.json pretix $(ARGS)
	$(BIN)/python -m docs.generate

PLUGINS ?= alipay wechatpay bankhost stripe groupbuy evoucher ktv restaurant department convenience messages house sandbox
plugins: $(READY)  ## PLUGINS= through the conformance suite; docs/matrix.md is made from what it finds
	$(BIN)/gateway plugins check --record docs/evidence/conformance.json $(PLUGINS) $(ARGS)
	$(BIN)/python -m docs.generate

lock: $(READY)  ## write requirements.lock anew
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header --no-annotate --no-emit-index-url \
	  --python-version 3.11 --extra postgres --extra soap --extra qr --extra iso8583 --extra sftp --extra dbf --extra mysql --extra mssql \
	  --extra serial --extra test setup.py -o requirements.lock

clean:  ## remove what these targets made
	rm -rf $(VENV) build dist *.egg-info var .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
