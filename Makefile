# Each target sets up what it needs; on a fresh machine Python 3.11 or newer is enough.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PEERS := $(patsubst tests/benchmarks/peers/%.txt,.peers/%/.ready,$(wildcard tests/benchmarks/peers/*.txt))
export OMP_NUM_THREADS := 1
DEMO := OrientationDecoding-v0,ImageClassificationDigits-v0,SequencePrediction-v0,PerceptualDecisionMaking-v0,DelayedComparison-v0,EvidenceAccumulation-v0,TwoStep-v0,CartPole-v0,RotatedDigitsDomain-v0
BENCH := $(BIN)/pytest tests/benchmarks -q -o addopts="--import-mode=importlib" --benchmark-only --benchmark-columns=min,median

SYSTEM := chromium postgresql npm

.PHONY: setup system demo real test lint bench bench-peers bench-check bench-keep scores board docs clean
.DEFAULT_GOAL := demo

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[all]" --group dev
	touch $@

setup: $(READY)  ## everything into .venv

board: $(READY)  ## a board on this machine, with a worker: open http://127.0.0.1:8000
	$(BIN)/python -m leaderboard serve --workers 1

demo: $(READY)  ## a task of each family at the quick budget on the CPU, then the board
	$(BIN)/python -m baselines run --budget quick --device cpu --task "$(DEMO)" --out runs/demo
	$(BIN)/python -m leaderboard build --results runs/demo --out site
	$(BIN)/python -m leaderboard rank --results runs/demo
	@echo "The pages are in site/: open site/index.html"

real: $(READY)  ## the tasks on recorded data found in the cache, at the full budget
	$(BIN)/neurotasks data status
	$(BIN)/python -m baselines run --budget full --data recorded --out runs/real
	$(BIN)/python -m baselines run --budget full --task "CartPole*" --out runs/real
	$(BIN)/python -m baselines run --budget full --task "ContinualDigits-v0,SplitDigits*,PermutedDigits*" --out runs/real
	$(BIN)/python -m leaderboard build --results runs/real --out site/real
	$(BIN)/python -m leaderboard rank --results runs/real

system:  ## what tests of pages and stores need of Debian; where it cannot be installed they are skipped
	@command -v chromium npm > /dev/null && ls /usr/lib/postgresql/*/bin/initdb > /dev/null 2>&1 \
	|| { [ "$$(id -u)" = 0 ] && apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(SYSTEM) > /dev/null; } \
	|| echo "not installed: $(SYSTEM); the tests that need them are skipped"

test: $(READY) system  ## scores and speeds hold, then all tests
	$(MAKE) --no-print-directory scores
	$(MAKE) --no-print-directory bench-check
	$(BIN)/pytest -n auto

scores: $(READY)  ## rerun the quick reference results; fail when a score leaves its interval
	$(BIN)/python -m baselines check --fast

bench: $(READY)  ## all benchmarks, the long ones too: benchmarks.json and a table; fail as bench-check
	$(BENCH) --benchmark-json=benchmarks.json
	$(BIN)/python tests/benchmarks/report.py benchmarks.json --against tests/benchmarks/committed.json --whole

bench-peers: $(READY) $(PEERS)  ## an environment for each library that we compare with

.peers/%/.ready: tests/benchmarks/peers/%.txt constraints.txt
	$(PYTHON) -m venv .peers/$*
	.peers/$*/bin/python -m pip install --quiet --constraint constraints.txt --requirement $<
	touch $@

bench-check: $(READY)  ## the short benchmarks: fail when a ratio is 1.5 times below the committed one, twice in a row
	@mkdir -p runs
	$(BENCH) -m "not slow" --benchmark-json=runs/bench.json > runs/bench.log || { cat runs/bench.log; exit 1; }
	@$(BIN)/python tests/benchmarks/report.py runs/bench.json --against tests/benchmarks/committed.json --again runs/again.txt \
	|| { echo "once more:"; xargs -a runs/again.txt -d '\n' $(BIN)/pytest -q -o addopts="--import-mode=importlib" --benchmark-only --benchmark-json=runs/bench.json > runs/bench.log \
	&& $(BIN)/python tests/benchmarks/report.py runs/bench.json --against tests/benchmarks/committed.json; }

bench-keep: $(READY)  ## keep the ratios of benchmarks.json, long ones too, where lower than the committed
	$(BIN)/python tests/benchmarks/report.py benchmarks.json --commit tests/benchmarks/committed.json

lint: $(READY)  ## format, rules, types, directions, the wheel's contents
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	rm -rf dist && $(BIN)/python -m build --quiet --wheel --no-isolation && $(BIN)/check-wheel-contents dist/*.whl

docs: $(READY)  ## the course map and a page for each task, from the cards
	$(BIN)/python docs/build.py

clean:  ## what can be made again
	rm -rf $(VENV) runs site dist benchmarks.json
