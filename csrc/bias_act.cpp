// Registers bias_act and its backward pass. What they compute: kernels/bias_act.h.
#include "kernels/bias_act.h"

#include <tuple>

#include "common.h"

namespace ganzoo {

// matter: whether values differ, or are summed, by channel.
static Channels channels_of(const Tensor& dense, int64_t dim, bool matter) {
  if (!matter || dense.dim() == 0 || dense.size(dim) == 1) return {dense.numel(), 1, 1};
  return {dense.numel(), dense.size(dim), dense.stride(dim)};
}

static Tensor run_bias_act(const Tensor& given, const std::optional<Tensor>& b, int64_t dim, int64_t act, double alpha,
                           double gain, double clamp) {
  Tensor y = torch::stable::empty_like(given);
  if (y.numel() == 0) return y;
  const Tensor x = laid_out_as(given, y);
  const Channels at = channels_of(y, dim, b.has_value());
  with_arithmetic(x, [&](auto zero) {
    using A = decltype(zero);
    const Shape<A> shape(static_cast<Activation>(act), alpha, gain, clamp);
    const std::vector<A> bias = at.repeated(vector_of<A>(b));
    in_parallel(at.pieces(), at.step() * 8, [&](int64_t begin, int64_t end) {
      bias_act(source<A>(x), b ? bias.data() : nullptr, sink<A>(y), at, shape, begin, end);
    });
  });
  return y;
}

static std::tuple<Tensor, Tensor> run_bias_act_backward(const Tensor& dy_given, const std::optional<Tensor>& v,
                                                        const Tensor& kept_given, const std::optional<Tensor>& b,
                                                        int64_t dim, int64_t act, double alpha, double gain,
                                                        double clamp, bool reduce) {
  Tensor dx = torch::stable::empty_like(kept_given);
  Tensor db = torch::stable::new_zeros(dx, {reduce ? dx.size(dim) : 0}, arithmetic_of(dx));
  if (dx.numel() == 0) return {dx, db};
  const Tensor kept = laid_out_as(kept_given, dx), dy = laid_out_as(dy_given, dx);
  const Channels at = channels_of(dx, dim, v.has_value() || b.has_value() || reduce);
  with_arithmetic(dx, [&](auto zero) {
    using A = decltype(zero);
    const Shape<A> shape(static_cast<Activation>(act), alpha, gain, clamp);
    const std::vector<A> added = at.repeated(vector_of<A>(v)), bias = at.repeated(vector_of<A>(b));
    Sums<A> sums(at);
    in_parallel(sums.stretches(), sums.stretch() * at.step() * 12, [&](int64_t begin, int64_t end) {
      bias_act_backward(source<A>(dy), v ? added.data() : nullptr, source<A>(kept), b ? bias.data() : nullptr,
                        sink<A>(dx), shape, reduce, sums, begin, end);
    });
    if (reduce) sums.total(static_cast<A*>(db.mutable_data_ptr()));
  });
  return {dx, db};
}

}  // namespace ganzoo

STABLE_TORCH_LIBRARY_FRAGMENT(ganzoo, m) {
  m.def("bias_act(Tensor x, Tensor? b, int dim, int act, float alpha, float gain, float clamp) -> Tensor");
  m.def(
      "bias_act_backward(Tensor dy, Tensor? v, Tensor kept, Tensor? b, int dim, int act, float alpha, float gain, "
      "float clamp, bool reduce) -> (Tensor, Tensor)");
}

STABLE_TORCH_LIBRARY_IMPL(ganzoo, CPU, m) {
  m.impl("bias_act", TORCH_BOX(&ganzoo::run_bias_act));
  m.impl("bias_act_backward", TORCH_BOX(&ganzoo::run_bias_act_backward));
}
