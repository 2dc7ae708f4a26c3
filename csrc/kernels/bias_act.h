// Bias, activation, gain and clamp in one pass, and its backward pass with the bias's gradient. CPU, no torch.
#pragma once

#include <limits>
#include <type_traits>
#include <vector>

#include "activation.h"
#include "memory.h"

namespace ganzoo {

// How a dense tensor lies in memory: the channel of offset o is (o / inner) % channels.
//
// Work is cut into pieces of at most `block` values. Where inner > 1 a piece has one channel. Where inner is 1 the
// channels run along it, and a piece is as many periods of them as fit: vectors over the channels are repeated to
// `period` values, so that 3 channels cost no more than 300.
struct Channels {
  int64_t count, channels, inner;

  bool along() const { return inner == 1; }
  int64_t period() const { return along() ? channels * std::max<int64_t>(1, block / channels) : 1; }
  int64_t step() const { return along() ? period() : std::min(block, inner); }
  int64_t steps_a_row() const { return (inner + step() - 1) / step(); }  // inner > 1
  int64_t pieces() const {
    if (count == 0) return 0;
    return along() ? (count + step() - 1) / step() : count / inner * steps_a_row();
  }
  int64_t offset(int64_t piece) const {
    return along() ? piece * step() : piece / steps_a_row() * inner + piece % steps_a_row() * step();
  }
  int64_t length(int64_t piece) const {
    return along() ? std::min(step(), count - piece * step())
                   : std::min(step(), inner - piece % steps_a_row() * step());
  }
  int64_t channel(int64_t piece) const { return along() ? 0 : piece / steps_a_row() % channels; }

  // A vector over the channels as the functions below want it.
  template <typename A>
  std::vector<A> repeated(const A* values) const {
    std::vector<A> wide(values ? std::max(period(), channels) : 0);
    for (size_t i = 0; i < wide.size(); ++i) wide[i] = values[i % channels];
    return wide;
  }
};

template <typename A>
struct Shape {  // of the function
  Activation act;
  A alpha, gain, limit;

  Shape(Activation act, double alpha, double gain, double clamp)
      : act(act), alpha(A(alpha)), gain(A(gain)),
        limit(clamp < 0 ? std::numeric_limits<A>::infinity() : A(clamp)) {}
};

namespace detail {

template <typename A>
GANZOO_INLINE A limited(A y, A limit) {  // a NaN stays one
  y = y > limit ? limit : y;
  return y < -limit ? -limit : y;
}

// A constant under the same name as a vector: b[i] of either.
template <typename A>
struct Constant {
  A value;
  A operator[](int64_t) const { return value; }
};

template <Activation act, typename A, typename B>
void forward(const A* __restrict x, B b, A* __restrict y, int64_t count, Shape<A> shape) {
  for (int64_t i = 0; i < count; ++i)
    y[i] = limited(activate<act>(x[i] + b[i], shape.alpha) * shape.gain, shape.limit);
}

template <Activation act, typename A, typename B, typename V>
void backward(const A* __restrict dy, V v, const A* __restrict kept, B b, A* __restrict dx, int64_t count,
              Shape<A> shape) {
  const A inverse = shape.gain != A(0) ? A(1) / shape.gain : A(0);
  for (int64_t i = 0; i < count; ++i) {
    const A input = kept[i] + b[i];
    const A seen = keeps_input(act) ? input : kept[i] * inverse;
    const A y = keeps_input(act) ? activate<act>(input, shape.alpha) * shape.gain : kept[i];
    const A factor = slope<act>(seen, shape.alpha) * shape.gain;
    dx[i] = (dy[i] + v[i]) * ((y < A(0) ? -y : y) >= shape.limit ? A(0) : factor);
  }
}

// Calls function(std::integral_constant<Activation, act>) for the activation asked for.
template <typename Function>
void with_activation(Activation act, Function function) {
  switch (act) {
#define GANZOO_CASE(name) \
  case Activation::name: return function(std::integral_constant<Activation, Activation::name>());
    GANZOO_CASE(linear)
    GANZOO_CASE(relu)
    GANZOO_CASE(lrelu)
    GANZOO_CASE(tanh)
    GANZOO_CASE(sigmoid)
    GANZOO_CASE(elu)
    GANZOO_CASE(selu)
    GANZOO_CASE(softplus)
    GANZOO_CASE(swish)
#undef GANZOO_CASE
  }
}

// Calls function(vector or constant): a vector over the channels, or what one channel (or no vector) comes to.
template <typename A, typename Function>
void with_values(const A* values, bool along, int64_t channel, Function function) {
  if (values && along)
    function(values);
  else
    function(Constant<A>{values ? values[channel] : A(0)});
}

template <typename A>
A sum(const A* values, int64_t count) {
  A lanes[16] = {};
  int64_t i = 0;
  for (; i + 16 <= count; i += 16)
    for (int lane = 0; lane < 16; ++lane) lanes[lane] += values[i + lane];
  for (; i < count; ++i) lanes[i % 16] += values[i];
  A total = 0;
  for (A lane : lanes) total += lane;
  return total;
}

}  // namespace detail

// y = clamp(act(x + b) * gain) for the pieces [begin, end). b: repeated over the channels, or null.
template <typename A>
void bias_act(Source<A> x, const A* b, Sink<A> y, Channels at, Shape<A> shape, int64_t begin, int64_t end) {
  detail::with_activation(shape.act, [&](auto chosen) {
    constexpr Activation act = decltype(chosen)::value;
    std::vector<A> rooms(2 * at.step());
    A *read = rooms.data(), *room = read + at.step();
    for (int64_t piece = begin; piece < end; ++piece) {
      const int64_t offset = at.offset(piece), count = at.length(piece);
      const A* values = x.read(offset, count, read);
      A* target = y.place(offset, room);
      detail::with_values(b, at.along(), at.channel(piece), [&](auto bias) {
        detail::forward<act>(values, bias, target, count, shape);
      });
      y.write(offset, count, room);
    }
  });
}

// Sums of dx, from which the bias's gradient is made: one for every stretch of pieces, whatever the threads are, so
// that the result does not depend on them.
template <typename A>
struct Sums {
  Channels at;
  std::vector<A> partial;

  explicit Sums(Channels at) : at(at), partial(stretches() * at.period()) {}

  int64_t stretch() const { return at.along() ? 128 : 1; }  // pieces
  int64_t stretches() const { return (at.pieces() + stretch() - 1) / stretch(); }

  void add(int64_t piece, const A* __restrict values, int64_t count) {
    if (!at.along()) {
      partial[piece] = detail::sum(values, count);
      return;
    }
    A* __restrict own = partial.data() + piece / stretch() * at.period();
    for (int64_t i = 0; i < count; ++i) own[i] += values[i];
  }

  void total(A* db) const {
    std::vector<double> sums(at.channels);
    for (int64_t i = 0; i < int64_t(partial.size()); ++i)
      sums[at.along() ? i % at.channels : at.channel(i)] += partial[i];
    for (int64_t channel = 0; channel < at.channels; ++channel) db[channel] = A(sums[channel]);
  }
};

// dx = (dy + v) * slope and, if asked for, its sums, for the stretches [begin, end) of `sums`. v, b: repeated over the
// channels, or null; kept: the output, or the input for activations that keep it (then with the bias b).
template <typename A>
void bias_act_backward(Source<A> dy, const A* v, Source<A> kept, const A* b, Sink<A> dx, Shape<A> shape, bool reduce,
                       Sums<A>& sums, int64_t begin, int64_t end) {
  const Channels at = sums.at;
  detail::with_activation(shape.act, [&](auto chosen) {
    constexpr Activation act = decltype(chosen)::value;
    std::vector<A> rooms(3 * at.step());
    A *read = rooms.data(), *read_kept = read + at.step(), *room = read_kept + at.step();
    const int64_t last = std::min(end * sums.stretch(), at.pieces());
    for (int64_t piece = begin * sums.stretch(); piece < last; ++piece) {
      const int64_t offset = at.offset(piece), count = at.length(piece), channel = at.channel(piece);
      const A* gradient = dy.read(offset, count, read);
      const A* values = kept.read(offset, count, read_kept);
      A* target = dx.place(offset, room);
      detail::with_values(v, at.along(), channel, [&](auto added) {
        if constexpr (keeps_input(act))
          detail::with_values(b, at.along(), channel, [&](auto bias) {
            detail::backward<act>(gradient, added, values, bias, target, count, shape);
          });
        else
          detail::backward<act>(gradient, added, values, detail::Constant<A>{A(0)}, target, count, shape);
      });
      if (reduce) sums.add(piece, target, count);
      dx.write(offset, count, room);
    }
  });
}

}  // namespace ganzoo
