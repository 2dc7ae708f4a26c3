// Upsample, pad, filter, downsample. CUDA, no torch.
//
// Along one axis, output o is a weighted sum of neighbouring inputs: with t = o * down - pad, the taps k that meet a
// sample and not an inserted zero are k = phase, phase + up, ... where phase = -t mod up, and they meet the inputs
// (t + phase) / up and following.
//
// Pictures are [planes, height, width, depth] in memory: depth is the channels of channels-last tensors (planes the
// samples) and 1 for contiguous ones (planes all channels of all samples).
#pragma once

#include <algorithm>

#include "vector.cuh"

namespace ganzoo {

struct Axis {
  int input, output, up, down, pad, taps;  // pad: before the first pixel
};

template <typename From, typename To = From>
struct Upfirdn2d {
  using A = Arithmetic<From>;
  const From* x;
  To* y;
  const A* f;   // [y.taps, x.taps], or [taps] if it is `square`: the same filter along both axes
  bool square, flip;
  A gain;
  int64_t planes;
  int depth;
  Axis vertical, horizontal;

  // In reading order, without the gain.
  GANZOO_INLINE A weight(int v, int h) const {
    v = flip ? v : vertical.taps - 1 - v;
    h = flip ? h : horizontal.taps - 1 - h;
    return square ? read<A>(f + v) * read<A>(f + h) : read<A>(f + v * horizontal.taps + h);
  }
};

// ---- Any factors, any filter: one output value. Index: uint32_t, or uint64_t for 2^31 values and more.

template <typename Index>
struct Outputs {
  Index count;
  Division depth, width, height;
};

GANZOO_INLINE int phase_of(int t, int up) {
  const int rest = t % up;
  return rest > 0 ? up - rest : -rest;
}

template <typename From, typename To, typename Index>
GANZOO_INLINE void filter_one(const Upfirdn2d<From, To>& p, const Outputs<Index>& outputs, Index item) {
  using A = Arithmetic<From>;
  const Axis &v = p.vertical, &h = p.horizontal;
  Index plane = item;
  const int channel = int(outputs.depth.take(plane)), column = int(outputs.width.take(plane));
  const int row = int(outputs.height.take(plane));
  const int top = row * v.down - v.pad, left = column * h.down - h.pad;
  const int phase_y = phase_of(top, v.up), phase_x = phase_of(left, h.up);
  const int first_y = (top + phase_y) / v.up, first_x = (left + phase_x) / h.up;
  A sum = 0;
  for (int ky = phase_y, y = first_y; ky < v.taps; ky += v.up, ++y) {
    if (y < 0 || y >= v.input) continue;
    const From* line = p.x + (int64_t(plane) * v.input + y) * h.input * p.depth + channel;
    for (int kx = phase_x, x = first_x; kx < h.taps; kx += h.up, ++x)
      if (x >= 0 && x < h.input) sum += p.weight(ky, kx) * widen(read<From>(line + int64_t(x) * p.depth));
  }
  p.y[item] = narrow<To>(sum * p.gain);
}

// ---- Filters of 2 to 4 taps, the same along both axes; factors 1, up 2 or down 2.
//
// A unit is `up` x `up` outputs; unit m along an axis starts from input down * m + first. A thread makes `wide` units
// side by side (of 1 channel) or one (of `lanes` channels), and `tall` units one below another: it reads row after row
// and adds each to the outputs that it meets, so that only those live in registers.
//
// Twice as many outputs as inputs: from an odd t on, two outputs meet the same inputs. Vectors over channels start
// there, maybe one output early (`before`). Neighbouring outputs are stored as a vector, which must start at an even
// output; where t is even there (`split`), the second of two outputs starts one input later than the first.

template <int up_, int down_, int taps_, int lanes_, bool split_ = false>
struct Plan {
  static constexpr int up = up_, down = down_, taps = taps_, lanes = lanes_;
  static constexpr bool split = split_;
  static constexpr int span = (taps + up - 1) / up;  // inputs that an output sums along an axis
  static constexpr int wide = lanes > 1 ? 1 : up * down == 1 ? 4 : 2;
  static constexpr int tall = up == 2 || (lanes > 1 && down == 2) ? 4 : 8;
  static constexpr int outputs = wide * up, inputs = (wide - 1) * down + span + split;  // of a thread's row
  static constexpr int rows = (tall - 1) * down + span;
  // Rows asked from memory while an earlier one is worked on. Vectors leave no registers for any: ptxas moves their
  // loads up by itself, and more warps hide the rest.
  static constexpr int ahead = lanes > 1 ? 0 : 3;

  static constexpr GANZOO_INLINE int first_tap(int output, bool split) {
    return up == 1 ? 0 : split ? output : 1 - output;
  }
};

struct Start {  // of an axis
  int before, first;

  Start(const Axis& axis, bool split) {
    before = axis.up == 2 && !split ? (axis.pad + 1) & 1 : 0;
    first = axis.up == 1 ? -axis.pad : (-before - axis.pad + (split ? 0 : 1)) / 2;
  }
};

struct Units {  // and how threads share them
  Start vertical, horizontal;
  Division near, columns, far, strips;  // near: channel vectors next to each other, for whole cache lines
  int64_t count;                        // of threads
  bool whole;                           // every thread's outputs of a row are one aligned vector

  template <typename P, typename T>
  static Units of(const Upfirdn2d<T>& p, P) {
    Units units{Start(p.vertical, false), Start(p.horizontal, P::split), {}, {}, {}, {}, 0, false};
    const auto pieces = [](int64_t outputs, int before, int each) {
      return Division((outputs + before + each - 1) / each);
    };
    const int vectors = p.depth / P::lanes;
    const int near = vectors % 8 == 0 ? 8 : vectors % 4 == 0 ? 4 : vectors % 2 == 0 ? 2 : 1;
    units.near = Division(near);
    units.far = Division(vectors / near);
    units.columns = pieces(p.horizontal.output, units.horizontal.before, P::outputs);
    units.strips = pieces(p.vertical.output, units.vertical.before, P::tall * P::up);
    units.count = p.planes * units.strips.divisor * vectors * units.columns.divisor;
    units.whole = p.horizontal.output % P::outputs == 0 && aligned(p.y, P::outputs * sizeof(T));
    return units;
  }
};

// The filter with its gain, and, where it is their product, a vertical and a horizontal filter.
template <int taps>
struct Weights {
  float matrix[taps][taps], vertical[taps], horizontal[taps];
  bool product;

  template <typename T>
  GANZOO_INLINE explicit Weights(const Upfirdn2d<T>& p) : product(true) {
    float line[taps];
#pragma unroll
    for (int i = 0; i < taps; ++i) line[i] = p.square ? read<float>(p.f + (p.flip ? i : taps - 1 - i)) : 0.0f;
#pragma unroll
    for (int i = 0; i < taps * taps; ++i)
      matrix[i / taps][i % taps] =
          p.gain * (p.square ? line[i / taps] * line[i % taps] : read<float>(p.f + (p.flip ? i : taps * taps - 1 - i)));
    const float pivot = matrix[1][1], inverse = 1.0f / pivot;
#pragma unroll
    for (int i = 0; i < taps; ++i) vertical[i] = matrix[i][1], horizontal[i] = matrix[1][i] * inverse;
#pragma unroll
    for (int i = 0; i < taps * taps; ++i)
      product &= fabsf(matrix[i / taps][i % taps] - vertical[i / taps] * horizontal[i % taps]) <=
                 2.4e-7f * fabsf(pivot);
  }
};

// to += the values under one row of the filter
template <typename P>
GANZOO_INLINE void add_across(const float (&values)[P::inputs][P::lanes], const float (&taps)[P::taps],
                              float (&to)[P::outputs][P::lanes]) {
#pragma unroll
  for (int output = 0; output < P::outputs; ++output)
#pragma unroll
    for (int i = 0; i < P::span; ++i) {
      const int second = output % P::up, tap = P::first_tap(second, P::split) + P::up * i;
      const int from = output / P::up * P::down + (P::split ? second : 0) + i;
      if (tap < P::taps)
#pragma unroll
        for (int lane = 0; lane < P::lanes; ++lane) to[output][lane] += taps[tap] * values[from][lane];
    }
}

// One row of a thread's outputs. left: the first one's column; not inside the picture: nothing.
template <typename P, typename T>
GANZOO_INLINE void store_row(T* to, int64_t depth, int left, int width, bool whole,
                             const float (&made)[P::outputs][P::lanes]) {
  if constexpr (P::lanes == 1) {
    float values[P::outputs];
#pragma unroll
    for (int i = 0; i < P::outputs; ++i) values[i] = made[i][0];
    if (whole) return Vector<T, P::outputs>::store(to, values);
  }
#pragma unroll
  for (int i = 0; i < P::outputs; ++i)
    if (unsigned(left + i) < unsigned(width)) Vector<T, P::lanes>::store(to + i * depth, made[i]);
}

template <typename P, bool product, typename T>
GANZOO_INLINE void filter_units(const Upfirdn2d<T>& p, const Units& units, uint32_t item,
                                const Weights<P::taps>& weights) {
  const Axis &v = p.vertical, &h = p.horizontal;
  const uint32_t near = units.near.take(item), column = units.columns.take(item), far = units.far.take(item);
  const int strip = int(units.strips.take(item)), channel = int(far * units.near.divisor + near) * P::lanes;
  const int64_t plane = item, depth = P::lanes == 1 ? 1 : p.depth;
  const int64_t pitch = h.input * depth, out_pitch = h.output * depth;
  // Of the first input and the first output. Outside of the picture they are not used.
  const int top = strip * P::tall * P::down + units.vertical.first;
  const int left = int(column) * P::wide * P::down + units.horizontal.first;
  const int out_top = strip * P::tall * P::up - units.vertical.before;
  const int out_left = int(column) * P::outputs - units.horizontal.before;
  const T* from = p.x + (plane * v.input + top) * pitch + left * depth + channel;
  T* to = p.y + (plane * v.output + out_top) * out_pitch + out_left * depth + channel;
  uint32_t inside = 0;  // one bit for every column
#pragma unroll
  for (int i = 0; i < P::inputs; ++i) inside |= uint32_t(unsigned(left + i) < unsigned(h.input)) << i;

  Vector<T, P::lanes> coming[P::ahead + 1][P::inputs];
  const auto load_row = [&](int row) {
    const uint32_t there = unsigned(top + row) < unsigned(v.input) ? inside : 0;
#pragma unroll
    for (int i = 0; i < P::inputs; ++i)
      coming[row % (P::ahead + 1)][i] = Vector<T, P::lanes>::load(from + i * depth, there >> i & 1);
    from += pitch;
    keep(from);
  };
#pragma unroll
  for (int row = 0; row < P::ahead; ++row) load_row(row);

  float made[P::tall][P::up][P::outputs][P::lanes] = {};
#pragma unroll
  for (int row = 0; row < P::rows; ++row) {
    if (row + P::ahead < P::rows) load_row(row + P::ahead);
    float values[P::inputs][P::lanes], across[P::outputs][P::lanes] = {};
#pragma unroll
    for (int i = 0; i < P::inputs; ++i) coming[row % (P::ahead + 1)][i].widened(values[i]);
    if constexpr (product) add_across<P>(values, weights.horizontal, across);
#pragma unroll
    for (int unit = 0; unit < P::tall; ++unit) {
      const int i = row - P::down * unit;
      if (i < 0 || i >= P::span) continue;
#pragma unroll
      for (int j = 0; j < P::up; ++j) {
        const int tap = P::first_tap(j, false) + P::up * i;
        if (tap < P::taps && !product) add_across<P>(values, weights.matrix[tap], made[unit][j]);
        if (tap < P::taps && product)
#pragma unroll
          for (int k = 0; k < P::outputs * P::lanes; ++k)
            made[unit][j][k / P::lanes][k % P::lanes] += weights.vertical[tap] * across[k / P::lanes][k % P::lanes];
        if (i < P::span - 1) continue;
        if (unsigned(out_top + unit * P::up + j) < unsigned(v.output))
          store_row<P>(to, depth, out_left, h.output, units.whole, made[unit][j]);
        to += out_pitch;
        keep(to);
      }
    }
  }
}

template <typename P, typename T>
GANZOO_INLINE void filter_units(const Upfirdn2d<T>& p, const Units& units, uint32_t item, P) {
  const Weights<P::taps> weights(p);
  if constexpr (P::taps == 4)  // fewer taps gain little
    if (weights.product) return filter_units<P, true>(p, units, item, weights);
  filter_units<P, false>(p, units, item, weights);
}

// Calls function(Plan) with the plan that fits; false if there is none, and `filter_one` is to be used.
template <typename T, typename Function>
bool with_plan(const Upfirdn2d<T>& p, Function function) {
  const Axis &v = p.vertical, &h = p.horizontal;
  const bool vectors = p.depth > 1;
  if (v.up != h.up || v.down != h.down || v.up * v.down > 2 || v.taps != h.taps) return false;
  if (vectors && (p.depth % lanes_of<T> != 0 || !aligned(p.x, 16) || !aligned(p.y, 16))) return false;
  const auto with_layout = [&](auto up, auto down, auto taps) {
    if (vectors) return function(Plan<up(), down(), taps(), lanes_of<T>>());
    if constexpr (up() == 2)
      if (h.pad % 2 == 0) return function(Plan<up(), down(), taps(), 1, true>());
    return function(Plan<up(), down(), taps(), 1>());
  };
  const auto with_factors = [&](auto taps) {
    const std::integral_constant<int, 1> one;
    const std::integral_constant<int, 2> two;
    if (v.up == 2) return with_layout(two, one, taps);
    return v.down == 2 ? with_layout(one, two, taps) : with_layout(one, one, taps);
  };
  switch (v.taps) {
    case 2: return with_factors(std::integral_constant<int, 2>());
    case 3: return with_factors(std::integral_constant<int, 3>());
    case 4: return with_factors(std::integral_constant<int, 4>());
    default: return false;
  }
}

#ifdef __CUDACC__

template <typename From, typename To, typename Index>
__global__ void __launch_bounds__(threads_of_a_block) filter_one_kernel(Upfirdn2d<From, To> p, Outputs<Index> outputs) {
  const Index item = Index(blockIdx.x) * threads_of_a_block + threadIdx.x;
  if (item < outputs.count) filter_one(p, outputs, item);
}

template <typename T, typename P>
__global__ void __launch_bounds__(threads_of_a_block) filter_units_kernel(Upfirdn2d<T> p, Units units) {
  const uint32_t item = blockIdx.x * threads_of_a_block + threadIdx.x;
  if (item < units.count) filter_units(p, units, item, P());
}

inline unsigned blocks_for(int64_t threads) {
  return unsigned((threads + threads_of_a_block - 1) / threads_of_a_block);
}

// Any filter; From and To may differ.
template <typename From, typename To>
cudaError_t launch_filter_one(const Upfirdn2d<From, To>& p, cudaStream_t stream) {
  const int64_t count = p.planes * p.vertical.output * p.horizontal.output * p.depth;
  const Division depth(p.depth), width(p.horizontal.output), height(p.vertical.output);
  if (count < int64_t(1) << 31)
    filter_one_kernel<<<blocks_for(count), threads_of_a_block, 0, stream>>>(
        p, Outputs<uint32_t>{uint32_t(count), depth, width, height});
  else
    filter_one_kernel<<<blocks_for(count), threads_of_a_block, 0, stream>>>(
        p, Outputs<uint64_t>{uint64_t(count), depth, width, height});
  return cudaGetLastError();
}

template <typename T>
cudaError_t launch_upfirdn2d(const Upfirdn2d<T>& p, cudaStream_t stream) {
  bool done = false;
  if constexpr (!std::is_same_v<T, double>)
    done = with_plan(p, [&](auto plan) {
      const Units units = Units::of(p, plan);
      if (units.count >= int64_t(1) << 31) return false;
      filter_units_kernel<T, decltype(plan)><<<blocks_for(units.count), threads_of_a_block, 0, stream>>>(p, units);
      return true;
    });
  return done ? cudaGetLastError() : launch_filter_one(p, stream);
}

#endif

}  // namespace ganzoo
