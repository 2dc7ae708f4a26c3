// Registers what gradient penalties are made of. What they compute: kernels/gradient_penalty.h.
#include "kernels/gradient_penalty.h"

#include <tuple>

#include "common.h"

namespace ganzoo {

static Samples samples_of(const Tensor& tensor) {
  const int64_t samples = tensor.size(0);
  return {samples, samples ? tensor.numel() / samples : 0};
}

static std::tuple<Tensor, Tensor> run_gradient_penalty(const Tensor& g, int64_t form, double center, double weight) {
  const Samples at = samples_of(g);
  Tensor value = torch::stable::new_empty(g, {at.samples}, arithmetic_of(g)), slope = torch::stable::empty_like(value);
  std::vector<double> partial(at.pieces());
  with_arithmetic(g, [&](auto zero) {
    using A = decltype(zero);
    in_parallel(at.pieces(), block * 4, [&](int64_t begin, int64_t end) {
      square_sums(source<A>(g), at, partial.data(), begin, end);
    });
    penalties(partial.data(), at, static_cast<Form>(form), center, weight, static_cast<A*>(value.mutable_data_ptr()),
              static_cast<A*>(slope.mutable_data_ptr()));
  });
  return {value, slope};
}

static Tensor run_gradient_penalty_backward(const Tensor& g, const Tensor& dvalue, const Tensor& slope) {
  const Samples at = samples_of(g);
  Tensor dg = torch::stable::empty_like(g);
  with_arithmetic(g, [&](auto zero) {
    using A = decltype(zero);
    in_parallel(at.pieces(), block * 8, [&](int64_t begin, int64_t end) {
      penalty_backward(source<A>(g), vector_of<A>(dvalue), vector_of<A>(slope), sink<A>(dg), at, begin, end);
    });
  });
  return dg;
}

static Tensor run_between(const Tensor& real, const Tensor& fake, const Tensor& mix) {
  const Samples at = samples_of(real);
  Tensor out = torch::stable::empty_like(real);
  with_arithmetic(real, [&](auto zero) {
    using A = decltype(zero);
    in_parallel(at.pieces(), block * 12, [&](int64_t begin, int64_t end) {
      between(source<A>(real), source<A>(fake), vector_of<A>(mix), sink<A>(out), at, begin, end);
    });
  });
  return out;
}

}  // namespace ganzoo

STABLE_TORCH_LIBRARY_FRAGMENT(ganzoo, m) {
  m.def("gradient_penalty(Tensor g, int form, float center, float weight) -> (Tensor, Tensor)");
  m.def("gradient_penalty_backward(Tensor g, Tensor dvalue, Tensor slope) -> Tensor");
  m.def("between(Tensor real, Tensor fake, Tensor mix) -> Tensor");
}

STABLE_TORCH_LIBRARY_IMPL(ganzoo, CPU, m) {
  m.impl("gradient_penalty", TORCH_BOX(&ganzoo::run_gradient_penalty));
  m.impl("gradient_penalty_backward", TORCH_BOX(&ganzoo::run_gradient_penalty_backward));
  m.impl("between", TORCH_BOX(&ganzoo::run_between));
}
