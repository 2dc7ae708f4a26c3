// What the registrations of the CPU kernels share: types, layouts and threads, over the LibTorch stable ABI.
#pragma once

#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include <algorithm>
#include <optional>

#include "kernels/memory.h"

namespace ganzoo {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

inline Type type_of(const Tensor& tensor) {
  switch (tensor.scalar_type()) {
    case ScalarType::Double: return Type::float64;
    case ScalarType::Float: return Type::float32;
    case ScalarType::Half: return Type::float16;
    case ScalarType::BFloat16: return Type::bfloat16;
    default: STD_TORCH_CHECK(false, "expected a tensor of float64, float32, float16 or bfloat16");
  }
}

inline ScalarType arithmetic_of(const Tensor& tensor) {
  return type_of(tensor) == Type::float64 ? ScalarType::Double : ScalarType::Float;
}

// Calls function(float()) or function(double()), the type that kernels compute in for this tensor.
template <typename Function>
void with_arithmetic(const Tensor& tensor, Function function) {
  if (type_of(tensor) == Type::float64)
    function(double());
  else
    function(float());
}

template <typename A>
Source<A> source(const Tensor& tensor) {
  return {tensor.const_data_ptr(), type_of(tensor)};
}

template <typename A>
Sink<A> sink(const Tensor& tensor) {
  return {tensor.mutable_data_ptr(), type_of(tensor), tensor.numel()};
}

// A small vector in the arithmetic's type: null where there is none.
template <typename A>
const A* vector_of(const std::optional<Tensor>& values) {
  if (!values) return nullptr;
  STD_TORCH_CHECK(values->element_size() == sizeof(A) && values->is_contiguous(),
                  "expected a contiguous vector in the precision of the arithmetic");
  return static_cast<const A*>(values->const_data_ptr());
}

inline bool same_strides(const Tensor& a, const Tensor& b) {
  for (int64_t d = 0; d < a.dim(); ++d)
    if (a.size(d) != b.size(d) || (a.size(d) > 1 && a.stride(d) != b.stride(d))) return false;
  return true;
}

// The tensor itself if it lies in memory as `like` does, else a copy that does.
inline Tensor laid_out_as(const Tensor& tensor, const Tensor& like) {
  if (same_strides(tensor, like)) return tensor;
  Tensor copy = torch::stable::empty_like(like);
  torch::stable::copy_(copy, tensor);
  return copy;
}

// function(begin, end) over [0, count) on torch's threads, where one item moves about `bytes`.
template <typename Function>
void in_parallel(int64_t count, int64_t bytes, Function function) {
  const int64_t grain = std::max<int64_t>(1, 65536 / std::max<int64_t>(1, bytes));
  torch::stable::parallel_for(0, count, grain, function);
}

}  // namespace ganzoo
