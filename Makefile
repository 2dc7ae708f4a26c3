# Two commands on a fresh machine: `make train` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: train test test-all bench lint cuda-check clean

train: $(STAMP)
	$(BIN)/ganzoo train digits

test: $(STAMP)
	$(BIN)/python -m pytest -n 2 -m "not slow"

test-all: $(STAMP)
	$(BIN)/python -m pytest -n 2

bench: $(STAMP)
	$(BIN)/python -m pytest benchmarks --benchmark-enable -s

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The CUDA half on a machine without a GPU: it compiles, links and loads, and its bodies, run on the host, are right.
NVCC ?= nvcc
CUDA := build/cuda
TOOLKIT = $(shell $(NVCC) --dryrun -x cu /dev/null 2>&1 | sed -n 's/^.. TOP=//p')
TORCH = $(wildcard $(VENV)/lib/python*/site-packages/torch)
NVCC_FLAGS = -O3 -std=c++17 -Xcompiler -fPIC -DUSE_CUDA -DTORCH_TARGET_VERSION=0x020a000000000000
NVCC_FLAGS += -isystem $(TORCH)/include -isystem $(TORCH)/include/torch/csrc/api/include
NVCC_FLAGS += $(foreach number,80 90 100,-gencode=arch=compute_$(number),code=sm_$(number))
CUDA_OBJECTS = $(patsubst csrc/%.cu,$(CUDA)/%.o,$(wildcard csrc/*_cuda.cu))
CUDA_HEADERS = $(wildcard csrc/*.h csrc/*.cuh csrc/kernels/*)

cuda-check: $(STAMP) $(CUDA)/check.o $(CUDA)/emulate $(CUDA)/ganzoo_cuda.so $(CUDA)/stand_in.so
	$(CUDA)/emulate
	LD_PRELOAD=$(CUDA)/stand_in.so $(BIN)/python csrc/check.py $(CUDA)/ganzoo_cuda.so

$(CUDA)/%.o: csrc/%.cu $(CUDA_HEADERS)
	mkdir -p $(CUDA)
	$(NVCC) -c $(NVCC_FLAGS) $< -o $@

$(CUDA)/ganzoo_cuda.so: $(CUDA_OBJECTS)
	$(NVCC) -shared $^ -L$(TORCH)/lib -Xlinker --no-as-needed -ltorch_cpu -ltorch -o $@

$(CUDA)/emulate: csrc/emulate.cu $(CUDA_HEADERS)
	mkdir -p $(CUDA)
	$(CXX) -x c++ -std=c++17 -O1 -g -fsanitize=address -isystem $(TOOLKIT)/include $< -o $@

# The one symbol that torch's CPU build lacks.
$(CUDA)/stand_in.so:
	mkdir -p $(CUDA)
	echo 'int aoti_torch_get_current_cuda_stream(int d, void** s) { return 1; }' | $(CC) -x c -shared -fPIC - -o $@

# The environment is made once, and again when what the project needs has changed.
$(STAMP): pyproject.toml setup.py constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $(STAMP)

clean:
	rm -rf $(VENV) build dist *.egg-info
