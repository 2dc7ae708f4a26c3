// An operator as small as they come, written like ganzoo's own: no Python, LibTorch's stable ABI.
#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include "twice.h"

using torch::stable::Tensor;

static Tensor run_twice(const Tensor& x) {
  Tensor y = torch::stable::empty_like(x);
  twice(x.const_data_ptr<float>(), y.mutable_data_ptr<float>(), x.numel());
  return y;
}

STABLE_TORCH_LIBRARY_FRAGMENT(ganzoo_test, m) { m.def("twice(Tensor x) -> Tensor"); }
STABLE_TORCH_LIBRARY_IMPL(ganzoo_test, CPU, m) { m.impl("twice", TORCH_BOX(&run_twice)); }
