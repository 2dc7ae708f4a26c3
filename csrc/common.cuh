// What the registrations of the CUDA kernels share: a tensor's device, stream and type, over the LibTorch stable ABI.
#pragma once

#include <torch/csrc/inductor/aoti_torch/c/shim.h>
#include <torch/csrc/stable/accelerator.h>

#include "common.h"
#include "kernels/vector.cuh"

namespace ganzoo {

template <typename Function>
cudaError_t with_type(const Tensor& tensor, Function function) {
  switch (type_of(tensor)) {
    case Type::float64: return function(double());
    case Type::float32: return function(float());
    case Type::float16: return function(__half());
    default: return function(__nv_bfloat16());
  }
}

// Calls function(T(), stream) for the tensor's type and its device's current stream; it returns its launch's error.
template <typename Function>
void launch_for(const Tensor& tensor, Function function) {
  const auto device = tensor.get_device_index();
  const torch::stable::accelerator::DeviceGuard guard(device);
  void* stream = nullptr;
  STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_get_current_cuda_stream(device, &stream));
  const cudaError_t error =
      with_type(tensor, [&](auto zero) { return function(zero, static_cast<cudaStream_t>(stream)); });
  STD_TORCH_CHECK(error == cudaSuccess, "ganzoo: a CUDA kernel did not start: ", cudaGetErrorString(error));
}

template <typename T>
const T* input(const Tensor& tensor) {
  return static_cast<const T*>(tensor.const_data_ptr());
}

template <typename T>
T* output(const Tensor& tensor) {
  return static_cast<T*>(tensor.mutable_data_ptr());
}

}  // namespace ganzoo
