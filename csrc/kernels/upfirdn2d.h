// Upsample, pad, filter, downsample. CPU, no torch.
//
// Along one axis, output o is a weighted sum of neighbouring inputs: with t = o * down - pad0, the taps k that meet a
// sample and not an inserted zero are k = phase, phase + up, ... where phase = -t mod up, and they meet the inputs
// first, first + 1, ... where first = (t + phase) / up. So every filter is `up` short filters without zeros.
//
// A row of the output is made in two passes over a strip of it that stays in the first caches: the rows of the input
// are summed with the vertical weights into one row, which is then filtered horizontally. A filter that is not the
// product of a vertical and a horizontal one is a sum of its rows, each filtered horizontally.
//
// Pictures are [planes, height, width, depth] in memory: depth is the channels of channels-last tensors (planes the
// samples) and 1 for contiguous ones (planes all channels of all samples).
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "memory.h"

namespace ganzoo {

struct Axis {
  int64_t input, up, down, pad0, pad1, taps;

  int64_t output() const {
    const int64_t span = input * up + pad0 + pad1 - taps;
    return span < 0 ? 0 : span / down + 1;
  }
  int64_t phase(int64_t o) const {
    const int64_t rest = (o * down - pad0) % up;
    return rest > 0 ? up - rest : -rest;
  }
  int64_t first(int64_t o) const { return (o * down - pad0 + phase(o)) / up; }
  int64_t meets() const { return (taps + up - 1) / up; }  // inputs an output sums, at most
};

// The short filters of an axis: at(phase)[j] is the weight of input first + j.
template <typename A>
struct Weights {
  int64_t meets;
  std::vector<A> values;

  // taps: in reading order, `stride` apart.
  Weights(const Axis& axis, const A* taps, int64_t stride = 1) : meets(axis.meets()), values(axis.up * axis.meets()) {
    for (int64_t k = 0; k < axis.taps; ++k) values[k % axis.up * meets + k / axis.up] = taps[k * stride];
  }
  const A* at(int64_t phase) const { return values.data() + phase * meets; }
};

template <typename A>
struct Filter {  // in reading order, with the gain
  int64_t height, width;
  std::vector<A> taps, vertical, horizontal;  // the last two are empty where the filter is not their product

  // f: [height, width], or with height 0 [width], the same filter along both axes.
  Filter(const A* f, int64_t height, int64_t width, bool flip, double gain)
      : height(height ? height : width), width(width), taps(this->height * width) {
    for (int64_t y = 0; y < this->height; ++y)
      for (int64_t x = 0; x < width; ++x) {
        const int64_t v = flip ? y : this->height - 1 - y, h = flip ? x : width - 1 - x;
        taps[y * width + x] = A(gain) * (height ? f[v * width + h] : f[v] * f[h]);
      }
    factorise();
  }

  void factorise() {
    const int64_t top = std::max_element(taps.begin(), taps.end(),
                                         [](A a, A b) { return std::abs(a) < std::abs(b); }) - taps.begin();
    const A pivot = taps[top];
    if (!(std::abs(pivot) > A(0))) return;
    std::vector<A> v(height), h(width);
    for (int64_t y = 0; y < height; ++y) v[y] = taps[y * width + top % width];
    for (int64_t x = 0; x < width; ++x) h[x] = taps[top / width * width + x] / pivot;
    for (int64_t y = 0; y < height; ++y)
      for (int64_t x = 0; x < width; ++x)
        if (!(std::abs(taps[y * width + x] - v[y] * h[x]) <=
              2 * std::numeric_limits<A>::epsilon() * std::abs(pivot)))
          return;
    vertical = v;
    horizontal = h;
  }
};

struct Picture {
  int64_t planes, depth;
  Axis y, x;
};

namespace detail {

// to[i] (+)= sum over j < meets of weights[j] * from[j][i]
template <int meets, bool add, typename A>
void combine(const A* const* from, const A* weights, A* __restrict to, int64_t count) {
  const A* rows[meets];
  A w[meets];
  for (int j = 0; j < meets; ++j) rows[j] = from[j], w[j] = weights[j];
  for (int64_t i = 0; i < count; ++i) {
    A total = add ? to[i] : A(0);
    for (int j = 0; j < meets; ++j) total += w[j] * rows[j][i];
    to[i] = total;
  }
}

template <typename A>
void combine(const A* const* from, const A* weights, int64_t meets, A* to, int64_t count, bool add) {
  if (meets == 0 && !add) std::fill_n(to, count, A(0));
  while (meets > 0) {
    const int64_t now = std::min<int64_t>(meets, 4);
    switch (now * 2 + add) {
      case 2: combine<1, false>(from, weights, to, count); break;
      case 3: combine<1, true>(from, weights, to, count); break;
      case 4: combine<2, false>(from, weights, to, count); break;
      case 5: combine<2, true>(from, weights, to, count); break;
      case 6: combine<3, false>(from, weights, to, count); break;
      case 7: combine<3, true>(from, weights, to, count); break;
      case 8: combine<4, false>(from, weights, to, count); break;
      case 9: combine<4, true>(from, weights, to, count); break;
    }
    from += now, weights += now, meets -= now, add = true;
  }
}

// One row of depth 1 where the two outputs of an inserted zero interleave: to[2q + r] (+)= w[r] . from[r][q...]
template <int meets, bool add, typename A>
void interleave(const A* even, const A* odd, const A* we, const A* wo, A* __restrict to, int64_t pairs) {
  A w[2][meets];
  for (int j = 0; j < meets; ++j) w[0][j] = we[j], w[1][j] = wo[j];
  for (int64_t q = 0; q < pairs; ++q) {
    A a = add ? to[2 * q] : A(0), b = add ? to[2 * q + 1] : A(0);
    for (int j = 0; j < meets; ++j) a += w[0][j] * even[q + j], b += w[1][j] * odd[q + j];
    to[2 * q] = a;
    to[2 * q + 1] = b;
  }
}

// One row of depth 1 where every second output is kept: to[q] (+)= w . from[2q...]
template <int meets, bool add, typename A>
void decimate(const A* from, const A* weights, A* __restrict to, int64_t count) {
  A w[meets];
  for (int j = 0; j < meets; ++j) w[j] = weights[j];
  for (int64_t q = 0; q < count; ++q) {
    A total = add ? to[q] : A(0);
    for (int j = 0; j < meets; ++j) total += w[j] * from[2 * q + j];
    to[q] = total;
  }
}

// Outputs [begin, end) of a row, `depth` values each, into `to`. row: the inputs from `start` on.
template <typename A>
void horizontal(const Axis& x, const Weights<A>& weights, const A* row, int64_t start, int64_t depth, A* to,
                int64_t begin, int64_t end, bool add) {
  const int64_t count = end - begin;
  const auto input = [&](int64_t o) { return row + (x.first(o) - start) * depth; };
  if (x.up == 1 && x.down == 1) {  // a plain convolution, whatever the depth: neighbours are `depth` apart
    std::vector<const A*> from(x.meets());
    for (int64_t j = 0; j < x.meets(); ++j) from[j] = input(begin) + j * depth;
    combine(from.data(), weights.at(0), x.meets(), to, count * depth, add);
    return;
  }
  if (depth == 1 && !add && x.up == 2 && x.down == 1 && x.meets() == 2 && count > 1) {
    interleave<2, false>(input(begin), input(begin + 1), weights.at(x.phase(begin)), weights.at(x.phase(begin + 1)), to,
                         count / 2);
    begin += count / 2 * 2, to += count / 2 * 2;
  } else if (depth == 1 && !add && x.up == 1 && x.down == 2 && x.meets() == 4) {
    decimate<4, false>(input(begin), weights.at(0), to, count);
    return;
  }
  std::vector<const A*> from(x.meets());
  for (int64_t o = begin; o < end; ++o, to += depth) {
    const A* w = weights.at(x.phase(o));
    const A* values = input(o);
    if (depth == 1) {
      A total = add ? *to : A(0);
      for (int64_t j = 0; j < x.meets(); ++j) total += w[j] * values[j];
      *to = total;
    } else {
      for (int64_t j = 0; j < x.meets(); ++j) from[j] = values + j * depth;
      combine(from.data(), w, x.meets(), to, depth, add);
    }
  }
}

// A strip of output pixels whose input fits the first caches.
template <typename A>
struct Strip {
  int64_t begin, end;        // outputs
  int64_t start, stop;       // inputs that they meet, also those outside of the picture
  int64_t inside, inside_end;

  Strip(const Axis& x, int64_t begin, int64_t end) : begin(begin), end(end) {
    start = x.first(begin);
    stop = x.first(end - 1) + x.meets();
    inside = std::clamp<int64_t>(start, 0, x.input);
    inside_end = std::clamp<int64_t>(stop, inside, x.input);
  }
};

}  // namespace detail

// Rows [begin, end) of the output, counted over all planes.
template <typename A>
void upfirdn2d(Source<A> input, Sink<A> output, const Picture& at, const Filter<A>& filter, int64_t begin,
               int64_t end) {
  const Axis &x = at.x, &y = at.y;
  const int64_t out_width = x.output(), out_height = y.output(), depth = at.depth;
  const bool product = !filter.vertical.empty();
  std::vector<Weights<A>> rows;  // one horizontal filter, or one for each row of the filter
  if (product)
    rows.emplace_back(x, filter.horizontal.data());
  else
    for (int64_t k = 0; k < y.taps; ++k) rows.emplace_back(x, filter.taps.data() + k * x.taps);
  const Weights<A> vertical(y, product ? filter.vertical.data() : filter.taps.data());

  const int64_t pixels = std::max<int64_t>(8, 4096 / depth) * x.up / std::max<int64_t>(1, x.down);
  const int64_t wide = std::clamp<int64_t>(pixels, 1, std::max<int64_t>(out_width, 1));
  const int64_t reach = wide * x.down / x.up + x.meets() + 2;
  std::vector<A> middle(reach * depth), made(wide * depth), read(y.meets() * reach * depth);
  std::vector<const A*> from(y.meets());

  for (int64_t row = begin; row < end; ++row) {
    const int64_t plane = row / out_height, o = row % out_height;
    const int64_t phase = y.phase(o), first = y.first(o);
    // The rows of the input that are there; the others are zero.
    const int64_t j0 = std::clamp<int64_t>(-first, 0, y.meets());
    const int64_t j1 = std::clamp<int64_t>(y.input - first, j0, y.meets());
    for (int64_t left = 0; left < out_width; left += wide) {
      const detail::Strip<A> strip(x, left, std::min(left + wide, out_width));
      const int64_t before = (strip.inside - strip.start) * depth, there = (strip.inside_end - strip.inside) * depth;
      const int64_t whole = (strip.stop - strip.start) * depth, count = (strip.end - strip.begin) * depth;
      const int64_t offset = (row * out_width + left) * depth;
      for (int64_t j = j0; j < j1; ++j)
        from[j] = input.read(((plane * y.input + first + j) * x.input + strip.inside) * depth, there,
                             read.data() + j * reach * depth);
      std::fill_n(middle.data(), before, A(0));
      std::fill_n(middle.data() + before + there, whole - before - there, A(0));
      A* target = output.place(offset, made.data());
      if (product) {
        detail::combine(from.data() + j0, vertical.at(phase) + j0, j1 - j0, middle.data() + before, there, false);
        detail::horizontal(x, rows[0], middle.data(), strip.start, depth, target, strip.begin, strip.end, false);
      } else {
        std::fill_n(target, count, A(0));
        for (int64_t j = j0; j < j1; ++j) {
          const int64_t tap = phase + j * y.up;
          if (tap >= y.taps) continue;
          std::copy_n(from[j], there, middle.data() + before);
          detail::horizontal(x, rows[tap], middle.data(), strip.start, depth, target, strip.begin, strip.end, true);
        }
      }
      output.write(offset, count, made.data());
    }
  }
}

}  // namespace ganzoo
