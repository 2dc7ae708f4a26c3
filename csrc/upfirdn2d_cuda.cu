// Registers upfirdn2d for CUDA. What it computes: kernels/upfirdn2d.cuh.
#include "kernels/upfirdn2d.cuh"

#include "common.cuh"

namespace ganzoo {

static Axis axis_of(int64_t input, int64_t up, int64_t down, int64_t pad0, int64_t pad1, int64_t taps) {
  const int64_t span = input * up + pad0 + pad1 - taps;
  return {int(input), span < 0 ? 0 : int(span / down + 1), int(up), int(down), int(pad0), int(taps)};
}

// A long filter along both axes is two short ones, with the picture between them in the arithmetic's type.
template <typename T>
static cudaError_t launch_in_two(const Upfirdn2d<T>& p, const Tensor& x, cudaStream_t stream) {
  using A = Arithmetic<T>;
  const Axis &v = p.vertical, &h = p.horizontal;
  const Axis still_v{v.input, v.input, 1, 1, 0, 1}, still_h{h.output, h.output, 1, 1, 0, 1};
  const Tensor between = torch::stable::new_empty(x, {p.planes * v.input * h.output * p.depth}, arithmetic_of(x));
  const Upfirdn2d<T, A> first{p.x, output<A>(between), p.f, false, p.flip, p.gain, p.planes, p.depth, still_v, h};
  const Upfirdn2d<A, T> second{input<A>(between), p.y, p.f, false, p.flip, A(1), p.planes, p.depth, v, still_h};
  const cudaError_t error = launch_filter_one(first, stream);
  return error == cudaSuccess ? launch_filter_one(second, stream) : error;
}

static Tensor run_upfirdn2d(const Tensor& x, const Tensor& f, int64_t up_x, int64_t up_y, int64_t down_x,
                            int64_t down_y, int64_t pad_x0, int64_t pad_x1, int64_t pad_y0, int64_t pad_y1, bool flip,
                            double gain) {
  using torch::headeronly::MemoryFormat;
  const bool contiguous = x.is_contiguous(), square = f.dim() == 1;  // else channels-last
  const int64_t samples = x.size(0), channels = x.size(1);
  const Axis vertical = axis_of(x.size(2), up_y, down_y, pad_y0, pad_y1, f.size(0));
  const Axis horizontal = axis_of(x.size(3), up_x, down_x, pad_x0, pad_x1, f.size(f.dim() - 1));
  STD_TORCH_CHECK(vertical.output > 0 && horizontal.output > 0, "upfirdn2d: the output would have no pixel");
  Tensor y = torch::stable::empty({samples, channels, vertical.output, horizontal.output}, x.scalar_type(),
                                  std::nullopt, x.device(), std::nullopt,
                                  contiguous ? MemoryFormat::Contiguous : MemoryFormat::ChannelsLast);
  if (y.numel() == 0) return y;
  launch_for(x, [&](auto zero, cudaStream_t stream) {
    using T = decltype(zero);
    using A = Arithmetic<T>;
    const int64_t planes = contiguous ? samples * channels : samples;
    const Upfirdn2d<T> p{input<T>(x), output<T>(y), vector_of<A>(f), square,   flip,
                         A(gain),     planes,       contiguous ? 1 : int(channels), vertical, horizontal};
    return square && vertical.taps > 4 ? launch_in_two(p, x, stream) : launch_upfirdn2d(p, stream);
  });
  return y;
}

}  // namespace ganzoo

STABLE_TORCH_LIBRARY_IMPL(ganzoo, CUDA, m) { m.impl("upfirdn2d", TORCH_BOX(&ganzoo::run_upfirdn2d)); }
