# make setup   one virtual environment with everything, made once
# make demo    train and score a real translator in minutes            DEMO_ARGS="--to ja"
# make test    lint, types and all quick tests
# make slow    tests that train for a minute or more
# make bench   speed, memory and growth of everything, in minutes      BENCH_ARGS="training --quick"
# make bench-peers PEERS_DIR=FOLDER   Henkan beside other toolkits; see benchmarks/peers/README.md   BENCH_ARGS=--quick
# PIP_ARGS goes to pip as it is, for instance to choose where torch comes from

PYTHON ?= python3
PIP_ARGS ?=
DEMO_ARGS ?=
BENCH_ARGS ?=

BIN := .venv/bin
STAMP := .venv/installed

.PHONY: setup demo test lint types format quick slow bench bench-peers clean

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet -c constraints.txt $(PIP_ARGS) -e '.[dev]'
	touch $@

demo: $(STAMP)
	$(BIN)/henkan demo $(DEMO_ARGS)

test: lint types quick

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)
	$(BIN)/mypy

quick: $(STAMP)
	$(BIN)/pytest -q

slow: $(STAMP)
	$(BIN)/pytest -q -m slow

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(STAMP)
	$(BIN)/python -m benchmarks $(BENCH_ARGS)

bench-peers: $(STAMP)
	$(if $(PEERS_DIR),,$(error PEERS_DIR is not set: where benchmarks/peers/setup.sh installed the peers))
	$(BIN)/python -m benchmarks.peers.compare --peers $(PEERS_DIR) --output $(PEERS_DIR)/results $(BENCH_ARGS)

clean:
	rm -rf .venv build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +
