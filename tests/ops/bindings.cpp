// The CPU kernels without torch: a pybind11 module for the tests, which run it under the sanitizers. Arrays are NumPy's.
#include <pybind11/numpy.h>
#include <pybind11/stl.h>
#include <pybind11/pybind11.h>

#include <stdexcept>

#include "../../csrc/kernels/bias_act.h"
#include "../../csrc/kernels/gradient_penalty.h"
#include "../../csrc/kernels/upfirdn2d.h"

namespace py = pybind11;
using namespace ganzoo;

namespace {

// float64, float32, or 16 bit numbers as uint16 bits, told apart by `bfloat16`.
Type type_of(const py::array& array, bool bfloat16) {
  if (array.itemsize() == 8) return Type::float64;
  if (array.itemsize() == 4) return Type::float32;
  return bfloat16 ? Type::bfloat16 : Type::float16;
}

template <typename Function>
void with_arithmetic(const py::array& array, Function function) {
  array.itemsize() == 8 ? function(double()) : function(float());
}

py::array like(const py::array& array, std::vector<py::ssize_t> shape) { return py::array(array.dtype(), shape); }

py::array run_bias_act(py::array x, py::object b, int64_t channels, int64_t inner, int act, double alpha, double gain,
                       double clamp, bool bfloat16) {
  py::array y = like(x, {x.size()});
  const Channels at{x.size(), channels, inner};
  with_arithmetic(x, [&](auto zero) {
    using A = decltype(zero);
    std::vector<A> bias;
    if (!b.is_none()) bias = at.repeated(py::array_t<A>(b).data());
    const Type type = type_of(x, bfloat16);
    bias_act<A>({x.data(), type}, bias.empty() ? nullptr : bias.data(), Sink<A>(y.mutable_data(), type, y.size()), at,
                Shape<A>(static_cast<Activation>(act), alpha, gain, clamp), 0, at.pieces());
  });
  return y;
}

py::tuple run_bias_act_backward(py::array dy, py::object v, py::array kept, py::object b, int64_t channels,
                                int64_t inner, int act, double alpha, double gain, double clamp, bool bfloat16) {
  py::array dx = like(dy, {dy.size()}), db;
  const Channels at{dy.size(), channels, inner};
  with_arithmetic(dy, [&](auto zero) {
    using A = decltype(zero);
    std::vector<A> added, bias;
    if (!v.is_none()) added = at.repeated(py::array_t<A>(v).data());
    if (!b.is_none()) bias = at.repeated(py::array_t<A>(b).data());
    const Type type = type_of(dy, bfloat16);
    Sums<A> sums(at);
    bias_act_backward<A>({dy.data(), type}, added.empty() ? nullptr : added.data(), {kept.data(), type},
                         bias.empty() ? nullptr : bias.data(), Sink<A>(dx.mutable_data(), type, dx.size()),
                         Shape<A>(static_cast<Activation>(act), alpha, gain, clamp), true, sums, 0, sums.stretches());
    py::array_t<A> total(channels);
    sums.total(total.mutable_data());
    db = total;
  });
  return py::make_tuple(dx, db);
}

// x: [planes, height, width, depth]; padding: x0, x1, y0, y1
py::array run_upfirdn2d(py::array x, py::array f, std::array<int64_t, 2> up, std::array<int64_t, 2> down,
                        std::array<int64_t, 4> padding, bool flip, double gain, bool bfloat16) {
  if (x.ndim() != 4) throw std::invalid_argument("x is [planes, height, width, depth]");
  const Picture at{x.shape(0), x.shape(3),
                   {x.shape(1), up[1], down[1], padding[2], padding[3], f.shape(0)},
                   {x.shape(2), up[0], down[0], padding[0], padding[1], f.shape(f.ndim() - 1)}};
  py::array y = like(x, {x.shape(0), at.y.output(), at.x.output(), x.shape(3)});
  with_arithmetic(x, [&](auto zero) {
    using A = decltype(zero);
    const Filter<A> filter(py::array_t<A, py::array::c_style>(f).data(), f.ndim() == 2 ? f.shape(0) : 0,
                           f.shape(f.ndim() - 1), flip, gain);
    const Type type = type_of(x, bfloat16);
    upfirdn2d<A>({x.data(), type}, Sink<A>(y.mutable_data(), type, y.size()), at, filter, 0,
                 at.planes * at.y.output());
  });
  return y;
}

// g: [samples, size] -> penalties, their slopes, and the gradient of their sum
py::tuple run_gradient_penalty(py::array g, int form, double center, double weight, bool bfloat16) {
  const Samples at{g.shape(0), g.shape(1)};
  py::array dg = like(g, {g.shape(0), g.shape(1)});
  py::tuple result;
  with_arithmetic(g, [&](auto zero) {
    using A = decltype(zero);
    const Type type = type_of(g, bfloat16);
    std::vector<double> partial(at.pieces());
    py::array_t<A> value(at.samples), slope(at.samples);
    const std::vector<A> ones(at.samples, A(1));
    square_sums<A>({g.data(), type}, at, partial.data(), 0, at.pieces());
    penalties(partial.data(), at, static_cast<Form>(form), center, weight, value.mutable_data(), slope.mutable_data());
    penalty_backward<A>({g.data(), type}, ones.data(), slope.data(), Sink<A>(dg.mutable_data(), type, dg.size()), at, 0,
                        at.pieces());
    result = py::make_tuple(value, slope, dg);
  });
  return result;
}

py::array run_between(py::array real, py::array fake, py::array mix, bool bfloat16) {
  const Samples at{real.shape(0), real.shape(1)};
  py::array out = like(real, {real.shape(0), real.shape(1)});
  with_arithmetic(real, [&](auto zero) {
    using A = decltype(zero);
    const Type type = type_of(real, bfloat16);
    between<A>({real.data(), type}, {fake.data(), type}, py::array_t<A>(mix).data(),
               Sink<A>(out.mutable_data(), type, out.size()), at, 0, at.pieces());
  });
  return out;
}

}  // namespace

PYBIND11_MODULE(GANZOO_MODULE, m) {
  m.def("bias_act", &run_bias_act);
  m.def("bias_act_backward", &run_bias_act_backward);
  m.def("upfirdn2d", &run_upfirdn2d);
  m.def("gradient_penalty", &run_gradient_penalty);
  m.def("between", &run_between);
}
