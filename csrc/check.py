"""Loads a CUDA library after the CPU library, which declares the operators, and asks whether all are registered."""

import sys

import torch

from ganzoo.kernels import CPU

CPU.load()
torch.ops.load_library(sys.argv[1])
operators = ["bias_act", "bias_act_backward", "upfirdn2d", "gradient_penalty", "gradient_penalty_backward", "between"]
missing = [name for name in operators if not torch._C._dispatch_has_kernel_for_dispatch_key(f"ganzoo::{name}", "CUDA")]
sys.exit(f"no CUDA kernel for {', '.join(missing)}" if missing else 0)
