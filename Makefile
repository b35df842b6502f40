# The verbs of the project; CI runs the same ones. `make VENV=path verb` uses another virtual environment.
VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin
CMAKE := $(BIN)/cmake
JOBS ?= $(shell nproc)
CXX_FILES := $(wildcard native/bind/*.cc native/bind/*.h native/include/pennyweight/*.h native/src/*.cc \
	native/src/*.h native/src/*/*.cc native/src/*/*.h native/src/*/*.inl native/tests/*.cc native/tests/*.h)

.PHONY: setup test crash soak clients lint lint-ruff lint-mypy lint-cxx fix native native-test lm-eval emulated instructions bench bench-peers bench-sizes bench-context docs wheels

setup:  ## a virtual environment with the package (editable) and everything below needs
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --editable '.[dev]' cmake

test:  ## the Python tests, on every core
	$(BIN)/python -m pytest --numprocesses auto --dist loadfile

crash:  ## a server, and a batch without one, killed after every durable write there is and at fifty random moments
	CRASH_POINTS=all CRASH_ROUNDS=50 $(BIN)/python -m pytest tests/jobs/test_crashes.py tests/jobs/test_killed_tuning.py tests/jobs/test_trained_models.py tests/store/test_failpoints.py \
		tests/history/test_killed_servers.py tests/history/assistants/test_killed_runs.py \
		tests/retrieval/test_killed_ingestion.py tests/server/test_killed_office.py tests/cli/test_batch_run.py

soak:  ## 200 mixed clients for a minute; SOAK="--seconds 10 --clients 50": no row of usage lost or doubled
	$(BIN)/python -m tests.server.usage_soak $(SOAK)

clients:  ## clients people use, in throw-away environments from the package index, against a real server
	$(BIN)/python -m tests.clients.run

lint: lint-ruff lint-mypy lint-cxx  ## ruff, mypy, clang-format

lint-ruff:
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

lint-mypy:
	$(BIN)/mypy
	$(BIN)/mypy --package benchmarks
	$(BIN)/mypy --package examples

lint-cxx:
	$(BIN)/clang-format --dry-run -Werror $(CXX_FILES)

fix:  ## what the linters can mend by themselves
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/clang-format -i $(CXX_FILES)

native:  ## rebuild the extension in place
	$(BIN)/python -m pip install --editable .

native-test:  ## the C++ tests as released, then under the address and undefined-behaviour sanitizers
	$(CMAKE) -S native -B build/release -DPENNYWEIGHT_TESTS=ON
	$(CMAKE) --build build/release --parallel $(JOBS)
	$(BIN)/ctest --test-dir build/release --output-on-failure
	$(CMAKE) -S native -B build/asan -DPENNYWEIGHT_SANITIZE=ON -DPENNYWEIGHT_TESTS=ON
	$(CMAKE) --build build/asan --parallel $(JOBS)
	$(BIN)/ctest --test-dir build/asan --output-on-failure

lm-eval:  ## lm-evaluation-harness, in an environment of its own, against a running server
	test -x build/lm-eval/bin/python || $(PYTHON) -m venv build/lm-eval
	build/lm-eval/bin/python -m pip install --quiet 'lm_eval[api]>=0.4.9'
	PENNYWEIGHT_LM_EVAL=$(CURDIR)/build/lm-eval/bin/python $(BIN)/python -m pytest tests/server/test_lm_eval.py

emulated:  ## the C++ tests on processors this machine is not
	CMAKE=$(CMAKE) JOBS=$(JOBS) bash .ci/emulated

instructions:  ## instructions of a step against the recorded ones; COUNT=--record takes them as they are
	$(CMAKE) -S native -B build/release -DPENNYWEIGHT_TESTS=ON
	$(CMAKE) --build build/release --parallel $(JOBS) --target pennyweight_one_step
	$(BIN)/python -m benchmarks.instructions --build build/release $(COUNT)

bench:  ## this machine's speed, beside its measured bandwidth and integer peak
	$(BIN)/penny bench

bench-peers:  ## beside the peers; BENCH="--only 'decode*' --rounds 3"; goes on where it was cut off
	$(BIN)/python -m benchmarks.peers $(BENCH)

bench-sizes:  ## shapes of 0.5 to 3 billion random weights beside llama.cpp (12 GB of files)
	$(BIN)/python -m benchmarks.peers --sizes --only 'size-*' $(BENCH)

bench-context:  ## cost against context, 1k to 128k; CONTEXT="--rounds 5"; goes on where it was cut off
	$(BIN)/python -m benchmarks.context $(CONTEXT)

docs:  ## what is generated: the commands' help, the interface's fields, the tables of figures
	$(BIN)/python docs/generate_cli.py
	$(BIN)/python docs/generate_api.py
	$(BIN)/python docs/generate_support.py
	$(BIN)/python docs/generate_tuning.py
	$(BIN)/python -m benchmarks.table

wheels:  ## cp311 and cp312-abi3 wheels with the interpreters that are here, and an import of each
	bash .ci/wheels
