// Registers what gradient penalties are made of for CUDA. What they compute: kernels/gradient_penalty.cuh.
#include "kernels/gradient_penalty.cuh"

#include <tuple>

#include "common.cuh"

namespace ganzoo {

static std::tuple<Tensor, Tensor> run_gradient_penalty(const Tensor& g, int64_t form, double center, double weight) {
  const int64_t samples = g.size(0);
  Tensor value = torch::stable::new_empty(g, {samples}, arithmetic_of(g)), slope = torch::stable::empty_like(value);
  if (samples == 0) return {value, slope};
  launch_for(g, [&](auto zero, cudaStream_t stream) {
    using T = decltype(zero);
    using A = Arithmetic<T>;
    const SquaredNorms<T> p{input<T>(g), output<A>(value), output<A>(slope), samples, g.numel() / samples,
                            static_cast<Form>(form), A(center), A(weight)};
    return launch_gradient_penalty(p, stream);
  });
  return {value, slope};
}

// other, slope: null where the function has none.
template <typename Function>
static Tensor run_map(const Tensor& from, const Tensor* other, const Tensor& of_sample, const Tensor* slope) {
  Tensor to = torch::stable::empty_like(from);
  if (to.numel() == 0) return to;
  launch_for(to, [&](auto zero, cudaStream_t stream) {
    using T = decltype(zero);
    using A = Arithmetic<T>;
    const Map<T> p{input<T>(from), other ? input<T>(*other) : nullptr, output<T>(to), vector_of<A>(of_sample),
                   slope ? vector_of<A>(*slope) : nullptr, from.size(0), from.numel() / from.size(0)};
    return launch_map<Function>(p, stream);
  });
  return to;
}

static Tensor run_gradient_penalty_backward(const Tensor& g, const Tensor& dvalue, const Tensor& slope) {
  return run_map<PenaltyBackward>(g, nullptr, dvalue, &slope);
}

static Tensor run_between(const Tensor& real, const Tensor& fake, const Tensor& mix) {
  return run_map<Between>(real, &fake, mix, nullptr);
}

}  // namespace ganzoo

STABLE_TORCH_LIBRARY_IMPL(ganzoo, CUDA, m) {
  m.impl("gradient_penalty", TORCH_BOX(&ganzoo::run_gradient_penalty));
  m.impl("gradient_penalty_backward", TORCH_BOX(&ganzoo::run_gradient_penalty_backward));
  m.impl("between", TORCH_BOX(&ganzoo::run_between));
}
