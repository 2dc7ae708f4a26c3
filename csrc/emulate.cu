// Runs the kernels' bodies on the host, thread after thread, and compares them with plain loops, over many shapes.
// Built by g++ with the address sanitizer, which sees every load and store outside of a tensor. Needs no GPU.
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <vector>

#include "kernels/bias_act.cuh"
#include "kernels/gradient_penalty.cuh"
#include "kernels/upfirdn2d.cuh"

using namespace ganzoo;

static std::mt19937 generator(1);
static int checks = 0;

static int any(int low, int high) { return low + int(generator() % unsigned(high - low + 1)); }

static void require(const char* what, bool holds) {
  if (!holds) std::printf("%s: wrong\n", what), std::exit(1);
}

template <typename T>
static std::vector<T> random_values(int64_t count) {
  std::vector<T> values(count);
  for (T& value : values) value = narrow<T>(Arithmetic<T>(generator() / 4294967296.0 * 4 - 2));
  return values;
}

template <typename T>
static void compare(const char* what, const std::vector<T>& got, const std::vector<double>& wanted) {
  const double precision = sizeof(T) == 8 ? 1e-12 : sizeof(T) == 4 ? 1e-5 : std::is_same_v<T, __half> ? 5e-4 : 4e-3;
  double most = 0;
  for (double value : wanted) most = std::max(most, std::fabs(value));
  for (size_t i = 0; i < wanted.size(); ++i)
    require(what, std::fabs(double(widen(got[i])) - wanted[i]) <= precision * most);
  ++checks;
}

// ---- upfirdn2d

template <typename T>
static std::vector<double> filtered(const Upfirdn2d<T>& p) {
  const Axis &v = p.vertical, &h = p.horizontal;
  std::vector<double> y;
  const auto pixel = [&](int64_t plane, int row, int column, int channel) {
    if (row < 0 || column < 0 || row % v.up || column % h.up) return 0.0;
    row /= v.up, column /= h.up;
    if (row >= v.input || column >= h.input) return 0.0;
    return double(widen(p.x[((plane * v.input + row) * h.input + column) * p.depth + channel]));
  };
  for (int64_t plane = 0; plane < p.planes; ++plane)
    for (int row = 0; row < v.output; ++row)
      for (int column = 0; column < h.output; ++column)
        for (int channel = 0; channel < p.depth; ++channel) {
          double sum = 0;
          for (int i = 0; i < v.taps; ++i)
            for (int j = 0; j < h.taps; ++j) {
              const int a = p.flip ? i : v.taps - 1 - i, b = p.flip ? j : h.taps - 1 - j;
              const double f = p.square ? double(p.f[a]) * p.f[b] : p.f[a * h.taps + b];
              sum += f * p.gain * pixel(plane, row * v.down - v.pad + i, column * h.down - h.pad + j, channel);
            }
          y.push_back(sum);
        }
  return y;
}

static Axis random_axis(int up, int down, int taps) {
  Axis axis{any(1, 37), 0, up, down, any(-3, 6), taps};
  axis.output = (axis.input * up + axis.pad + any(-3, 6) - taps + down) / down;
  return axis;
}

template <typename T>
static void check_upfirdn2d(int up, int down, int taps, bool same) {
  using A = Arithmetic<T>;
  Upfirdn2d<T> p{};
  p.planes = any(1, 3), p.depth = any(0, 1) ? 1 : any(1, 3) * any(1, 2) * lanes_of<T>;
  p.vertical = random_axis(up, down, taps);
  p.horizontal = same ? random_axis(up, down, taps) : random_axis(any(1, 3), any(1, 3), any(1, 6));
  if (p.vertical.output < 1 || p.horizontal.output < 1) return;
  p.square = same && any(0, 1), p.flip = any(0, 1), p.gain = A(1.5);
  auto f = random_values<A>(p.square ? taps : taps * p.horizontal.taps);
  if (same && !p.square && any(0, 1))  // a matrix that is a product
    for (int i = taps * taps - 1; i >= 0; --i) f[i] = (i / taps + 1) * A(i % taps + 2) / 3;
  p.f = f.data();
  const auto x = random_values<T>(p.planes * p.vertical.input * p.horizontal.input * p.depth);
  std::vector<T> y(p.planes * p.vertical.output * p.horizontal.output * p.depth);
  p.x = x.data(), p.y = y.data();
  const auto wanted = filtered(p);
  if constexpr (!std::is_same_v<T, double>)
    if (with_plan(p, [&](auto plan) {
          const Units units = Units::of(p, plan);
          for (int64_t i = 0; i < units.count; ++i) filter_units(p, units, uint32_t(i), plan);
          return true;
        }))
      compare("upfirdn2d, units", y, wanted);
  const int64_t count = y.size();
  const Division depth(p.depth), width(p.horizontal.output), height(p.vertical.output);
  y.assign(count, narrow<T>(9));
  for (int64_t i = 0; i < count; ++i)
    if (any(0, 1))
      filter_one(p, Outputs<uint32_t>{uint32_t(count), depth, width, height}, uint32_t(i));
    else
      filter_one(p, Outputs<uint64_t>{uint64_t(count), depth, width, height}, uint64_t(i));
  compare("upfirdn2d, one by one", y, wanted);
}

// ---- bias_act

template <typename Body>
static void for_threads(const Tiles& tiles, Body body) {
  for (int64_t block = 0; block < tiles.blocks; ++block)
    for (unsigned y = 0; y < tiles.block.y; ++y)
      for (unsigned x = 0; x < tiles.block.x; ++x) {
        const Walk at(tiles, uint32_t(block), int(x), int(y), int(tiles.block.y));
        if (at.inside) body(at);
      }
}

template <typename T>
static void check_bias_act(int64_t outer, int64_t channels, int64_t inner, Activation act, bool reduce) {
  using A = Arithmetic<T>;
  const int64_t count = outer * channels * inner;
  const auto x = random_values<T>(count), dy = random_values<T>(count);
  const auto b = random_values<A>(channels), v = random_values<A>(channels);
  std::vector<T> y(count), dx(count);
  std::vector<A> db(channels);
  std::vector<double> wanted(count), wanted_dx(count), sums(channels), wanted_sums(channels);
  BiasAct<T> p{}, q{};
  p.outer = outer, p.channels = channels, p.inner = inner, p.act = act;
  p.alpha = A(0.2), p.gain = A(1.25), p.inverse_gain = 1 / p.gain, p.clamp = any(0, 1) ? A(-1) : A(0.75);
  p.x = x.data(), p.y = y.data(), p.b = any(0, 3) ? b.data() : nullptr;
  q = p;
  q.x = dy.data(), q.y = dx.data(), q.kept = keeps_input(act) ? x.data() : y.data();
  q.v = any(0, 1) ? v.data() : nullptr, q.db = reduce ? db.data() : nullptr;
  const Tiles tiles = tiles_of(p, false), back = tiles_of(q, reduce);
  std::vector<int> parts(channels * back.parts);
  with_shape(p, tiles, [&](auto act, auto lanes, auto columns) {
    for_threads(tiles, [&](const Walk& at) { forward<act(), lanes(), columns()>(p, tiles, at); });
  });
  with_shape(q, back, [&](auto act, auto lanes, auto columns) {
    for_threads(back, [&](const Walk& at) {
      A part[columns() ? lanes() : 1] = {};
      backward<act(), lanes(), columns()>(q, back, at, part);
      for (int i = 0; i < (columns() ? lanes() : 1); ++i)
        sums[at.channel + i] += part[i], ++parts.at((at.channel + i) * back.parts + at.part);
    });
  });
  with_activation(act, [&](auto act) {
    for (int64_t i = 0; i < count; ++i) {
      const int64_t channel = i / inner % channels;
      const A bias = p.b ? b[channel] : 0, added = q.v ? v[channel] : 0;
      wanted[i] = forward_value<act(), T>(widen(x[i]) + bias, p);
      wanted_dx[i] = (widen(dy[i]) + added) * backward_factor<act(), T>(widen(q.kept[i]), bias, q);
      wanted_sums[channel] += wanted_dx[i];
    }
  });
  compare("bias_act", y, wanted);
  compare("bias_act_backward", dx, wanted_dx);
  for (int part : parts) require("bias_act_backward: every part written", part > 0);
  for (int64_t c = 0; c < channels; ++c)
    require("bias_act_backward: db", std::fabs(sums[c] - wanted_sums[c]) <= 1e-5 * outer * inner);
}

// ---- gradient_penalty

template <typename T>
static void check_gradient_penalty(int64_t samples, int64_t size) {
  using A = Arithmetic<T>;
  const auto x = random_values<T>(samples * size), other = random_values<T>(samples * size);
  const auto mix = random_values<A>(samples), slope = random_values<A>(samples);
  std::vector<T> to(samples * size), scaled(samples * size);
  std::vector<double> mixed, wanted;
  for (int64_t i = 0; i < samples * size; ++i) {
    const double a = widen(x[i]), b = widen(other[i]), n = mix[i / size];
    mixed.push_back(a + n * (b - a));
    wanted.push_back(2 * n * slope[i / size] * a);
  }
  const auto with = [&](auto lanes) {
    const Share share(size, lanes(), threads_of_a_block, int64_t(1) << 31);
    const Map<T> between{x.data(), other.data(), to.data(), mix.data(), nullptr, samples, size};
    const Map<T> backward{x.data(), nullptr, scaled.data(), mix.data(), slope.data(), samples, size};
    for (uint32_t block = 0; block < samples * share.blocks.divisor; ++block)
      for (int thread = 0; thread < share.threads; ++thread) {
        map<Between, lanes()>(between, share, block, thread);
        map<PenaltyBackward, lanes()>(backward, share, block, thread);
      }
    compare("between", to, mixed);
    compare("gradient_penalty_backward", scaled, wanted);
    for (int blocks : {1, 2, 8}) {
      const Share part(size, lanes(), 512, blocks);
      const int step = part.threads * int(part.blocks.divisor);
      double sum = 0, norm = 0;
      for (int i = 0; i < step; ++i) sum += squares<lanes()>(x.data() + size, i, step, part.vectors);
      for (int64_t i = size; i < 2 * size; ++i) norm += double(widen(x[i])) * double(widen(x[i]));
      require("gradient_penalty", std::fabs(sum / norm - 1) < 1e-5);
    }
    return cudaSuccess;
  };
  with_lanes<T>(size, true, with);
}

template <typename T>
static void check_all() {
  for (int i = 0; i < 900; ++i) check_upfirdn2d<T>(i % 3 == 1 ? 2 : 1, i % 3 == 2 ? 2 : 1, 2 + i / 3 % 3, true);
  for (int i = 0; i < 300; ++i) check_upfirdn2d<T>(any(1, 4), any(1, 4), any(1, 9), i % 2);
  for (int i = 0; i < 450; ++i) {
    const int vectors = any(0, 1) ? 8 : 1, wide = any(0, 5) ? 1 : 40, many = any(1, 40) * vectors * wide;
    const bool columns = any(0, 1);
    const int outer = any(0, 2) ? any(1, 70) : 1, channels = columns ? many : any(1, 30), inner = columns ? 1 : many;
    check_bias_act<T>(outer, channels, inner, Activation(i % 9), i % 4);
  }
  for (int i = 0; i < 40; ++i) check_gradient_penalty<T>(any(2, 4), any(1, 3000) * (any(0, 1) ? 8 : 1));
}

int main() {
  for (int i = 0; i < 200000; ++i) {
    const uint32_t divisor = (generator() >> any(1, 31)) + (i % 2), n = (generator() >> any(1, 31));
    if (divisor == 0) continue;
    for (uint32_t near : {n, n / divisor * divisor, n / divisor * divisor - (n >= divisor), 0x7fffffffu})
      require("Division", Division(divisor).of(near) == near / divisor);
  }
  check_all<float>();
  check_all<double>();
  check_all<__half>();
  check_all<__nv_bfloat16>();
  std::printf("%d comparisons, all equal\n", checks);
}
