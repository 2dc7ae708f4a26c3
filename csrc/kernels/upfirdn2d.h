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
#include <type_traits>
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

// to[i] (+)= sum over j < meets of weights[j] * from[j][i]. E: A, or how it is stored.
template <int meets, bool add, typename E, typename A>
void combine(const E* const* from, const A* weights, A* __restrict to, int64_t count) {
  const E* rows[meets];
  A w[meets];
  for (int j = 0; j < meets; ++j) rows[j] = from[j], w[j] = weights[j];
  for (int64_t i = 0; i < count; ++i) {
    A total = add ? to[i] : A(0);
    for (int j = 0; j < meets; ++j) total += w[j] * value_of(rows[j][i]);
    to[i] = total;
  }
}

template <typename E, typename A>
void combine(const E* const* from, const A* weights, int64_t meets, A* to, int64_t count, bool add) {
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

// Neighbouring pixels whose inputs start `step` apart: to[o][c] = the sum over rows and columns of
// weights * from[row][(step * o + column) * depth + c]. What several outputs meet is read once.
template <int rows, int columns, int outputs, int step, typename E, typename A>
void around(const E* const* from, const A* weights, int64_t depth, A* __restrict to) {
  const E* row[rows];
  A w[rows * columns];
  for (int j = 0; j < rows; ++j) row[j] = from[j];
  for (int j = 0; j < rows * columns; ++j) w[j] = weights[j];
  for (int64_t c = 0; c < depth; ++c) {
    A total[outputs] = {};
    for (int j = 0; j < rows; ++j)
      for (int i = 0; i < columns + (outputs - 1) * step; ++i) {
        const A value = value_of(row[j][i * depth + c]);
        for (int o = 0; o < outputs; ++o)
          if (i >= o * step && i < o * step + columns) total[o] += w[j * columns + i - o * step] * value;
      }
    for (int o = 0; o < outputs; ++o) to[o * depth + c] = total[o];
  }
}

// One row of depth 1 where every second of the upsampled values is a zero: two outputs meet as many inputs each.
template <int meets, typename A>
void interleave(const A* first, const A* second, const A* weights, const A* weights_of_second, A* __restrict to,
                int64_t pairs) {
  A w[2][meets];
  for (int j = 0; j < meets; ++j) w[0][j] = weights[j], w[1][j] = weights_of_second[j];
  for (int64_t q = 0; q < pairs; ++q) {
    A a = A(0), b = A(0);
    for (int j = 0; j < meets; ++j) a += w[0][j] * first[q + j], b += w[1][j] * second[q + j];
    to[2 * q] = a;
    to[2 * q + 1] = b;
  }
}

// One row of depth 1 where every second output is kept.
template <int meets, typename A>
void decimate(const A* from, const A* weights, A* __restrict to, int64_t count) {
  A w[meets];
  for (int j = 0; j < meets; ++j) w[j] = weights[j];
  for (int64_t q = 0; q < count; ++q) {
    A total = A(0);
    for (int j = 0; j < meets; ++j) total += w[j] * from[2 * q + j];
    to[q] = total;
  }
}

// A strip of output pixels whose input fits the first caches.
struct Strip {
  int64_t begin, end;            // outputs
  int64_t start, stop;           // inputs that they meet, also those outside of the picture
  int64_t inside, inside_end;    // those in the picture
  int64_t phase[2], next_start;  // of the first two outputs; where the inputs of the second start
  bool one_pass;

  Strip(const Axis& x, int64_t begin, int64_t end, bool one_pass)
      : begin(begin), end(end), start(x.first(begin)), stop(x.first(end - 1) + x.meets()),
        inside(std::clamp<int64_t>(start, 0, x.input)), inside_end(std::clamp<int64_t>(stop, inside, x.input)),
        phase{x.phase(begin), x.phase(begin + 1)}, next_start(x.first(begin + 1)), one_pass(one_pass) {}
};

// The outputs of a strip, `depth` values each, into `to`. row: the inputs from strip.start on; from: room for pointers.
template <typename A>
void horizontal(const Axis& x, const Weights<A>& weights, const A* row, const Strip& strip, int64_t depth, A* to,
                bool add, const A** from) {
  const int64_t count = strip.end - strip.begin, meets = weights.meets;
  if (x.up == 1 && x.down == 1) {  // a plain convolution, whatever the depth: neighbours are `depth` apart
    for (int64_t j = 0; j < meets; ++j) from[j] = row + j * depth;
    return combine(from, weights.at(0), meets, to, count * depth, add);
  }
  int64_t o = strip.begin;
  if (depth == 1 && !add && x.up == 2 && x.down == 1 && meets == 2) {
    interleave<2>(row, row + (strip.next_start - strip.start), weights.at(strip.phase[0]), weights.at(strip.phase[1]), to,
                  count / 2);
    o += count / 2 * 2, to += count / 2 * 2;
  } else if (depth == 1 && !add && x.up == 1 && x.down == 2 && meets == 4) {
    return decimate<4>(row, weights.at(0), to, count);
  }
  for (; o < strip.end; ++o, to += depth) {
    const A* w = weights.at(x.phase(o));
    const A* values = row + (x.first(o) - strip.start) * depth;
    if (depth == 1) {
      A total = add ? *to : A(0);
      for (int64_t j = 0; j < meets; ++j) total += w[j] * values[j];
      *to = total;
    } else {
      for (int64_t j = 0; j < meets; ++j) from[j] = values + j * depth;
      combine(from, w, meets, to, depth, add);
    }
  }
}

// A row of the output: the rows of the input that it meets are first + j; those of [j0, j1) are there.
struct Line {
  int64_t phase, first, j0, j1;

  Line(const Axis& y, int64_t o)
      : phase(y.phase(o)), first(y.first(o)), j0(std::clamp<int64_t>(-first, 0, y.meets())),
        j1(std::clamp<int64_t>(y.input - first, j0, y.meets())) {}
};

// The outputs of an axis all of whose inputs are in the picture: [begin, end)
struct Interior {
  int64_t begin = 0, end;

  explicit Interior(const Axis& axis) : end(axis.output()) {
    while (begin < end && axis.first(begin) < 0) ++begin;
    while (end > begin && axis.first(end - 1) + axis.meets() > axis.input) --end;
  }
  bool holds(int64_t o) const { return begin <= o && o < end; }
};

// Makes rows of the output. E: how the input is stored where that can be read in place, else A.
template <typename E, typename A>
struct Rows {
  Source<A> input;
  Sink<A> output;
  const Picture& at;
  const Filter<A>& filter;
  const Axis &x = at.x, &y = at.y;
  const int64_t out_width = x.output(), depth = at.depth;
  const bool product = !filter.vertical.empty();
  std::vector<Weights<A>> horizontals;  // one filter, or one for each row of a filter that is no product
  Weights<A> vertical{y, product ? filter.vertical.data() : filter.taps.data()};
  const Interior columns{x};
  // Where outputs sum few neighbours of many channels, one pass is quicker than two.
  const bool direct = depth >= 16 && x.up * x.down == 2 && y.up == x.up && y.down == x.down &&
                      y.meets() == x.meets() && (x.meets() == 2 || x.meets() == 4);
  const int64_t pixels = std::max<int64_t>(8, 4096 / depth) * x.up / x.down;  // of a strip, in the first cache
  const int64_t wide = std::clamp<int64_t>(pixels, 1, std::max<int64_t>(out_width, 1));
  const int64_t reach = wide * x.down / x.up + x.meets() + 2;
  std::vector<A> middle, made, read;
  std::vector<const E*> from;
  std::vector<const A*> neighbours;
  std::vector<Line> lines;
  std::vector<Strip> strips, inner_strips;  // of rows at the picture's edge, and of the others

  Rows(Source<A> input, Sink<A> output, const Picture& at, const Filter<A>& filter)
      : input(input), output(output), at(at), filter(filter), middle(reach * depth), made(wide * depth),
        read(y.meets() * reach * depth), from(y.meets()), neighbours(x.meets()) {
    for (int64_t o = 0; o < y.output(); ++o) lines.emplace_back(y, o);
    for (int64_t left = 0; left < out_width; left += wide)
      strips.emplace_back(x, left, std::min(left + wide, out_width), false);
    for (int64_t left = 0, right; direct && left < out_width; left = right) {
      const bool inside = columns.holds(left);
      right = std::min(left + wide, inside ? columns.end : left < columns.begin ? columns.begin : out_width);
      inner_strips.emplace_back(x, left, right, inside);
    }
    if (product)
      horizontals.emplace_back(x, filter.horizontal.data());
    else
      for (int64_t k = 0; k < y.taps; ++k) horizontals.emplace_back(x, filter.taps.data() + k * x.taps);
  }

  const E* values(int64_t offset, int64_t count, A* room) const {
    if constexpr (std::is_same_v<E, A>)
      return input.read(offset, count, room);
    else
      return static_cast<const E*>(input.data) + offset;
  }

  // Row o of a plane; row: counted over all planes.
  void make(int64_t row, int64_t plane, int64_t o) {
    const Line& line = lines[o];
    for (const Strip& strip : direct && line.j1 - line.j0 == y.meets() ? inner_strips : strips) {
      const int64_t offset = (row * out_width + strip.begin) * depth;
      A* target = output.place(offset, made.data());
      strip.one_pass ? in_one_pass(plane, line, strip, target) : in_two_passes(plane, line, strip, target);
      output.write(offset, (strip.end - strip.begin) * depth, made.data());
    }
  }

  void find(int64_t plane, const Line& line, const Strip& strip) {
    const int64_t there = (strip.inside_end - strip.inside) * depth;
    for (int64_t j = line.j0; j < line.j1; ++j)
      from[j] = values(((plane * y.input + line.first + j) * x.input + strip.inside) * depth, there,
                       read.data() + j * reach * depth);
  }

  void in_one_pass(int64_t plane, const Line& line, const Strip& strip, A* to) {
    find(plane, line, strip);
    const int64_t meets = x.meets();
    A weights[2][16];
    const E* pixel[4];
    for (int64_t second = 0; second < x.up; ++second)
      for (int64_t j = 0; j < meets; ++j)
        for (int64_t i = 0; i < meets; ++i) {
          const int64_t v = line.phase + j * y.up, h = strip.phase[second] + i * x.up;
          weights[second][j * meets + i] = v < y.taps && h < x.taps ? filter.taps[v * x.taps + h] : A(0);
        }
    for (int64_t column = 0, done; column < strip.end - strip.begin; column += done, to += done * depth) {
      const int64_t second = column % x.up, start = second ? strip.next_start : strip.start;
      for (int64_t j = 0; j < meets; ++j)
        pixel[j] = from[j] + (start + column / x.up * x.down - strip.inside) * depth;
      const A* w = weights[second];
      done = x.down == 2 && meets == 4 && column + 2 <= strip.end - strip.begin ? 2 : 1;
      if (done == 2)
        around<4, 4, 2, 2>(pixel, w, depth, to);
      else if (meets == 2)
        around<2, 2, 1, 1>(pixel, w, depth, to);
      else
        around<4, 4, 1, 1>(pixel, w, depth, to);
    }
  }

  void in_two_passes(int64_t plane, const Line& line, const Strip& strip, A* to) {
    const int64_t phase = line.phase, j0 = line.j0, j1 = line.j1;
    const int64_t before = (strip.inside - strip.start) * depth, there = (strip.inside_end - strip.inside) * depth;
    const int64_t whole = (strip.stop - strip.start) * depth;
    find(plane, line, strip);
    std::fill_n(middle.data(), before, A(0));
    std::fill_n(middle.data() + before + there, whole - before - there, A(0));
    if (product) {
      combine(from.data() + j0, vertical.at(phase) + j0, j1 - j0, middle.data() + before, there, false);
      horizontal(x, horizontals[0], middle.data(), strip, depth, to, false, neighbours.data());
      return;
    }
    std::fill_n(to, (strip.end - strip.begin) * depth, A(0));
    const A one = A(1);
    for (int64_t j = j0; j < j1; ++j) {
      const int64_t tap = phase + j * y.up;
      if (tap >= y.taps) continue;
      combine(from.data() + j, &one, 1, middle.data() + before, there, false);
      horizontal(x, horizontals[tap], middle.data(), strip, depth, to, true, neighbours.data());
    }
  }
};

}  // namespace detail

// Rows [begin, end) of the output, counted over all planes.
template <typename A>
void upfirdn2d(Source<A> input, Sink<A> output, const Picture& at, const Filter<A>& filter, int64_t begin,
               int64_t end) {
  const auto run = [&](auto rows) {
    int64_t plane = begin / at.y.output(), o = begin % at.y.output();
    for (int64_t row = begin; row < end; ++row, ++o) {
      if (o == at.y.output()) o = 0, ++plane;
      rows.make(row, plane, o);
    }
  };
  if constexpr (sizeof(A) == 4)
    if (input.type == Type::bfloat16) return run(detail::Rows<BFloat16, A>(input, output, at, filter));
  run(detail::Rows<A, A>(input, output, at, filter));
}

}  // namespace ganzoo
