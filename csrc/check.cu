// Instantiates every kernel, so that one `nvcc -c` tells whether they compile. Needs neither torch nor a GPU.
#include "kernels/bias_act.cuh"
#include "kernels/gradient_penalty.cuh"
#include "kernels/upfirdn2d.cuh"

namespace ganzoo {

#define GANZOO_CHECK(T)                                                               \
  template cudaError_t launch_bias_act(const BiasAct<T>&, cudaStream_t);              \
  template cudaError_t launch_bias_act_backward(const BiasAct<T>&, cudaStream_t);     \
  template cudaError_t launch_upfirdn2d(const Upfirdn2d<T>&, cudaStream_t);           \
  template cudaError_t launch_gradient_penalty(const SquaredNorms<T>&, cudaStream_t); \
  template cudaError_t launch_map<PenaltyBackward>(const Map<T>&, cudaStream_t);      \
  template cudaError_t launch_map<Between>(const Map<T>&, cudaStream_t);

GANZOO_CHECK(double)
GANZOO_CHECK(float)
GANZOO_CHECK(__half)
GANZOO_CHECK(__nv_bfloat16)

// The two passes of a long filter.
#define GANZOO_CHECK_BETWEEN(T)                                                                \
  template cudaError_t launch_filter_one(const Upfirdn2d<T, Arithmetic<T>>&, cudaStream_t); \
  template cudaError_t launch_filter_one(const Upfirdn2d<Arithmetic<T>, T>&, cudaStream_t);

GANZOO_CHECK_BETWEEN(__half)
GANZOO_CHECK_BETWEEN(__nv_bfloat16)

}  // namespace ganzoo
