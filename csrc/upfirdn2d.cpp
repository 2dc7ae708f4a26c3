// Registers upfirdn2d. What it computes: kernels/upfirdn2d.h.
#include "kernels/upfirdn2d.h"

#include "common.h"

namespace ganzoo {

static Tensor run_upfirdn2d(const Tensor& x, const Tensor& f, int64_t up_x, int64_t up_y, int64_t down_x,
                            int64_t down_y, int64_t pad_x0, int64_t pad_x1, int64_t pad_y0, int64_t pad_y1, bool flip,
                            double gain) {
  const int64_t taps_y = f.size(0), taps_x = f.size(f.dim() - 1);
  const bool contiguous = x.is_contiguous();  // else channels-last
  const int64_t samples = x.size(0), channels = x.size(1);
  const Picture at{contiguous ? samples * channels : samples,
                   contiguous ? 1 : channels,
                   {x.size(2), up_y, down_y, pad_y0, pad_y1, taps_y},
                   {x.size(3), up_x, down_x, pad_x0, pad_x1, taps_x}};
  const int64_t height = at.y.output(), width = at.x.output();
  STD_TORCH_CHECK(height > 0 && width > 0, "upfirdn2d: the output would have no pixel");
  Tensor y = torch::stable::empty({samples, channels, height, width}, x.scalar_type(), std::nullopt, x.device(),
                                  std::nullopt,
                                  contiguous ? torch::headeronly::MemoryFormat::Contiguous
                                             : torch::headeronly::MemoryFormat::ChannelsLast);
  with_arithmetic(x, [&](auto zero) {
    using A = decltype(zero);
    const Filter<A> filter(vector_of<A>(f), f.dim() == 2 ? taps_y : 0, taps_x, flip, gain);
    in_parallel(at.planes * height, width * at.depth * 8, [&](int64_t begin, int64_t end) {
      upfirdn2d(source<A>(x), sink<A>(y), at, filter, begin, end);
    });
  });
  return y;
}

}  // namespace ganzoo

STABLE_TORCH_LIBRARY_FRAGMENT(ganzoo, m) {
  m.def(
      "upfirdn2d(Tensor x, Tensor f, int up_x, int up_y, int down_x, int down_y, int pad_x0, int pad_x1, int pad_y0, "
      "int pad_y1, bool flip, float gain) -> Tensor");
}

STABLE_TORCH_LIBRARY_IMPL(ganzoo, CPU, m) { m.impl("upfirdn2d", TORCH_BOX(&ganzoo::run_upfirdn2d)); }
