// Registers bias_act and its backward pass for CUDA. What they compute: kernels/bias_act.cuh.
#include "kernels/bias_act.cuh"

#include <tuple>

#include "common.cuh"

namespace ganzoo {

// dense: tells the layout. matter: whether values differ, or are summed, by channel.
template <typename T>
static BiasAct<T> describe(const Tensor& dense, int64_t dim, bool matter, int64_t act, double alpha, double gain,
                           double clamp) {
  BiasAct<T> p{};
  const bool one = !matter || dense.dim() == 0 || dense.size(dim) == 1;
  p.channels = one ? 1 : dense.size(dim);
  p.inner = one ? dense.numel() : dense.stride(dim);
  p.outer = dense.numel() / (p.channels * p.inner);
  p.act = static_cast<Activation>(act);
  p.alpha = alpha, p.gain = gain, p.clamp = clamp;
  p.inverse_gain = gain != 0 ? 1 / gain : 0;
  return p;
}

static Tensor run_bias_act(const Tensor& given, const std::optional<Tensor>& b, int64_t dim, int64_t act, double alpha,
                           double gain, double clamp) {
  Tensor y = torch::stable::empty_like(given);
  if (y.numel() == 0) return y;
  const Tensor x = laid_out_as(given, y);
  launch_for(y, [&](auto zero, cudaStream_t stream) {
    using T = decltype(zero);
    BiasAct<T> p = describe<T>(y, dim, b.has_value(), act, alpha, gain, clamp);
    p.x = input<T>(x), p.y = output<T>(y), p.b = vector_of<Arithmetic<T>>(b);
    return launch_bias_act(p, stream);
  });
  return y;
}

static std::tuple<Tensor, Tensor> run_bias_act_backward(const Tensor& dy_given, const std::optional<Tensor>& v,
                                                        const Tensor& kept_given, const std::optional<Tensor>& b,
                                                        int64_t dim, int64_t act, double alpha, double gain,
                                                        double clamp, bool reduce) {
  Tensor dx = torch::stable::empty_like(kept_given);
  const int64_t channels = reduce ? dx.size(dim) : 0;
  if (dx.numel() == 0) return {dx, torch::stable::new_zeros(dx, {channels}, arithmetic_of(dx))};
  Tensor db = torch::stable::new_empty(dx, {channels}, arithmetic_of(dx));
  const Tensor kept = laid_out_as(kept_given, dx), dy = laid_out_as(dy_given, dx);
  launch_for(dx, [&](auto zero, cudaStream_t stream) {
    using T = decltype(zero);
    using A = Arithmetic<T>;
    BiasAct<T> p = describe<T>(dx, dim, v || b || reduce, act, alpha, gain, clamp);
    p.x = input<T>(dy), p.y = output<T>(dx), p.kept = input<T>(kept);
    p.v = vector_of<A>(v), p.b = vector_of<A>(b);
    p.db = reduce ? output<A>(db) : nullptr;
    const Tensor partial = torch::stable::new_empty(db, {reduce ? p.channels * tiles_of(p, true).parts : 0});
    p.partial = output<A>(partial);
    return launch_bias_act_backward(p, stream);
  });
  return {dx, db};
}

}  // namespace ganzoo

STABLE_TORCH_LIBRARY_IMPL(ganzoo, CUDA, m) {
  m.impl("bias_act", TORCH_BOX(&ganzoo::run_bias_act));
  m.impl("bias_act_backward", TORCH_BOX(&ganzoo::run_bias_act_backward));
}
