// Bias, activation, gain and clamp in one pass, and its backward pass with the bias's gradient. CUDA, no torch.
//
// A dense tensor lies in memory as [outer, channels, inner]. Threads see it as planes of rows of vectors:
//   inner > 1 (contiguous):    a plane for every channel, its rows the samples: one bias for all of a block.
//   inner = 1 (channels last): one plane, its rows the pixels: a thread keeps its columns, so its biases, all the way.
// A block is a tile of such a plane; a thread walks down it, `flight` loads ahead, without any division by channel.
#pragma once

#include <limits>

#include "vector.cuh"

namespace ganzoo {

template <typename T>
struct BiasAct {
  using A = Arithmetic<T>;
  const T* x;               // forward: the input. backward: dy
  T* y;                     // forward: the output. backward: dx
  const A* b = nullptr;     // [channels]
  const T* kept = nullptr;  // backward: the output, or the input where keeps_input(act)
  const A* v = nullptr;     // backward: [channels], added to dy
  A* db = nullptr;          // backward: [channels]: the sums of dx, if asked for
  A* partial = nullptr;     // backward: [channels, parts], see Tiles
  int64_t outer, channels, inner;
  Activation act;
  A alpha, gain, inverse_gain, clamp;  // clamp < 0: none

  GANZOO_INLINE A limit() const { return clamp < 0 ? A(HUGE_VAL) : clamp; }
};

// In place of an activation's number: the one that the launch names, looked up at run time.
constexpr int any_activation = -1;

#ifdef __CUDACC__
#pragma nv_exec_check_disable  // function runs where the caller does
#endif
template <typename Function>
GANZOO_INLINE auto with_activation(Activation act, Function function) {
  switch (act) {
#define GANZOO_CASE(name) \
  case Activation::name: return function(std::integral_constant<int, int(Activation::name)>());
    GANZOO_CASE(relu)
    GANZOO_CASE(lrelu)
    GANZOO_CASE(tanh)
    GANZOO_CASE(sigmoid)
    GANZOO_CASE(elu)
    GANZOO_CASE(selu)
    GANZOO_CASE(softplus)
    GANZOO_CASE(swish)
#undef GANZOO_CASE
    default: return function(std::integral_constant<int, int(Activation::linear)>());
  }
}

struct Tiles {
  int lanes;  // values in a vector: 1, or the most that 16 bytes hold
  bool columns;
  int flight = 4;
  int64_t rows, pitch, plane_pitch, rows_a_block, slices;
  int64_t width;  // of a plane, in vectors
  dim3 block;
  Division strips, planes;
  int64_t blocks, parts;  // parts: partial sums a channel

  // sums: a block that adds up walks further, so that few partial sums are left.
  Tiles(int64_t outer, int64_t channels, int64_t inner, int lanes, bool sums) : lanes(lanes), columns(inner == 1) {
    rows = outer;
    pitch = channels * inner;
    plane_pitch = inner;
    int64_t wide = (columns ? channels : inner) / lanes;
    if (outer == 1 && !columns)  // one long row may as well be several
      while (wide > threads_of_a_block && wide % 2 == 0) rows *= 2, wide /= 2, pitch = wide * lanes;
    width = wide;
    strips = Division((wide + threads_of_a_block - 1) / threads_of_a_block);
    planes = Division(columns ? 1 : channels);
    block.x = unsigned((wide + strips.divisor - 1) / strips.divisor);
    block.y = unsigned(std::min<int64_t>(threads_of_a_block / block.x, rows));
    const int64_t step = int64_t(block.y) * flight, tiles = int64_t(strips.divisor) * planes.divisor;
    // 2048 blocks fill every current device; the number is fixed so that sums do not depend on the device.
    const int64_t wanted = sums ? std::max<int64_t>(1, 2048 / tiles) : rows;
    rows_a_block = std::max<int64_t>(1, ((rows + wanted - 1) / wanted + step - 1) / step) * step;
    slices = (rows + rows_a_block - 1) / rows_a_block;
    blocks = tiles * slices;
    parts = columns ? slices : slices * strips.divisor;
  }
};

// Where a thread starts, and what it walks.
struct Walk {
  int64_t offset, row, end, step;  // step: rows from one of its vectors to the next
  int channel, part;
  bool inside;

  GANZOO_INLINE Walk(const Tiles& tiles, uint32_t block, int x, int y, int height) {
    const int strip = int(tiles.strips.take(block)), plane = int(tiles.planes.take(block)), slice = int(block);
    const int64_t column = strip * int64_t(tiles.block.x) + x;
    inside = column < tiles.width;
    row = slice * tiles.rows_a_block + y;
    end = row - y + tiles.rows_a_block < tiles.rows ? row - y + tiles.rows_a_block : tiles.rows;
    step = height;
    offset = plane * tiles.plane_pitch + row * tiles.pitch + column * tiles.lanes;
    channel = tiles.columns ? int(column) * tiles.lanes : plane;
    part = tiles.columns ? slice : slice * int(tiles.strips.divisor) + strip;
  }
};

// A vector's values from [channels]; zero without them.
template <bool columns, typename A, int lanes>
GANZOO_INLINE void of_channels(const A* values, int channel, A (&to)[lanes]) {
  constexpr int piece = columns && lanes % 4 == 0 ? 4 : 1;
#pragma unroll
  for (int i = 0; i < lanes; i += piece) {
    A some[piece];
    if (i == 0 || columns)
      Vector<A, piece>::load(values + channel + i, values != nullptr).widened(some);
    else
      some[0] = to[0];
#pragma unroll
    for (int j = 0; j < piece; ++j) to[i + j] = some[j];
  }
}

template <int act, typename T, typename A = Arithmetic<T>>
GANZOO_INLINE A forward_value(A x, const BiasAct<T>& p) {
  if constexpr (act == any_activation) {
    return with_activation(p.act, [&](auto known) { return forward_value<decltype(known)::value>(x, p); });
  } else {
    const A y = activate<Activation(act)>(x, p.alpha) * p.gain;
    const A limited = y > p.limit() ? p.limit() : y;  // a NaN stays one
    return limited < -p.limit() ? -p.limit() : limited;
  }
}

template <int act, typename T, typename A = Arithmetic<T>>
GANZOO_INLINE A backward_factor(A kept, A b, const BiasAct<T>& p) {
  if constexpr (act == any_activation) {
    return with_activation(p.act, [&](auto known) { return backward_factor<decltype(known)::value>(kept, b, p); });
  } else if constexpr (keeps_input(Activation(act))) {
    const A y = activate<Activation(act)>(kept + b, p.alpha) * p.gain;
    return fabs(y) >= p.limit() ? A(0) : slope<Activation(act)>(kept + b, p.alpha) * p.gain;
  } else {
    return fabs(kept) >= p.limit() ? A(0) : slope<Activation(act)>(kept * p.inverse_gain, p.alpha) * p.gain;
  }
}

template <int act, int lanes, bool columns, typename T>
GANZOO_INLINE void forward(const BiasAct<T>& p, const Tiles& tiles, Walk at) {
  using A = Arithmetic<T>;
  constexpr int flight = 4;
  A b[lanes], values[lanes];
  of_channels<columns>(p.b, at.channel, b);
  for (; at.row < at.end; at.row += flight * at.step, at.offset += flight * at.step * tiles.pitch) {
    Vector<T, lanes> loaded[flight];
#pragma unroll
    for (int i = 0; i < flight; ++i)
      loaded[i] = Vector<T, lanes>::load(p.x + at.offset + i * at.step * tiles.pitch, at.row + i * at.step < at.end);
#pragma unroll
    for (int i = 0; i < flight; ++i) {
      loaded[i].widened(values);
#pragma unroll
      for (int lane = 0; lane < lanes; ++lane) values[lane] = forward_value<act, T>(values[lane] + b[lane], p);
      if (at.row + i * at.step < at.end)
        Vector<T, lanes>::store(p.y + at.offset + i * at.step * tiles.pitch, values);
    }
  }
}

// Also adds up dx: sums[lane] where a thread has columns, else sums[0].
template <int act, int lanes, bool columns, typename T>
GANZOO_INLINE void backward(const BiasAct<T>& p, const Tiles& tiles, Walk at,
                            Arithmetic<T> (&sums)[columns ? lanes : 1]) {
  using A = Arithmetic<T>;
  constexpr int flight = 2;  // of two tensors
  A b[lanes], v[lanes], dy[lanes], kept[lanes];
  of_channels<columns>(p.b, at.channel, b);
  of_channels<columns>(p.v, at.channel, v);
  for (; at.row < at.end; at.row += flight * at.step, at.offset += flight * at.step * tiles.pitch) {
    Vector<T, lanes> loaded_dy[flight], loaded_kept[flight];
#pragma unroll
    for (int i = 0; i < flight; ++i) {
      const int64_t offset = at.offset + i * at.step * tiles.pitch;
      loaded_dy[i] = Vector<T, lanes>::load(p.x + offset, at.row + i * at.step < at.end);
      loaded_kept[i] = Vector<T, lanes>::load(p.kept + offset, at.row + i * at.step < at.end);
    }
#pragma unroll
    for (int i = 0; i < flight; ++i) {
      if (at.row + i * at.step >= at.end) break;
      loaded_dy[i].widened(dy);
      loaded_kept[i].widened(kept);
#pragma unroll
      for (int lane = 0; lane < lanes; ++lane) {
        dy[lane] = (dy[lane] + v[lane]) * backward_factor<act, T>(kept[lane], b[lane], p);
        sums[columns ? lane : 0] += dy[lane];
      }
      Vector<T, lanes>::store(p.y + at.offset + i * at.step * tiles.pitch, dy);
    }
  }
}

// Vectors of 16 bytes where rows and pointers allow it, else (and for double, which only tests need) one value at a
// time, with the activation looked up for each.
template <typename T>
Tiles tiles_of(const BiasAct<T>& p, bool sums) {
  const int lanes = lanes_of<T>;
  const bool whole = (p.inner == 1 ? p.channels : p.inner) % lanes == 0;
  const bool vectors = whole && aligned(p.x, 16) && aligned(p.y, 16) && aligned(p.kept, 16) && aligned(p.b, 16) &&
                       aligned(p.v, 16);  // null is aligned
  return Tiles(p.outer, p.channels, p.inner, vectors ? lanes : 1, sums);
}

template <typename T, typename Function>
void with_shape(const BiasAct<T>& p, const Tiles& tiles, Function function) {
  const auto with_columns = [&](auto act, auto lanes) {
    tiles.columns ? function(act, lanes, std::true_type()) : function(act, lanes, std::false_type());
  };
  if constexpr (lanes_of<T> > 1)
    if (tiles.lanes > 1)
      return with_activation(p.act, [&](auto act) { with_columns(act, std::integral_constant<int, lanes_of<T>>()); });
  with_columns(std::integral_constant<int, any_activation>(), std::integral_constant<int, 1>());
}

#ifdef __CUDACC__

// Adds up values over y; always in the same order. The threads of y = 0 get the result.
template <typename A, int lanes>
__device__ void add_over_y(A (&values)[lanes], int x, int width, int y, int height) {
  __shared__ A shared[lanes][threads_of_a_block / 2];
  for (int half = threads_of_a_block / 2; half > 0; half /= 2) {
    if (half >= height) continue;  // the same for the whole block
    for (int lane = 0; lane < lanes; ++lane)
      if (y >= half && y < 2 * half) shared[lane][(y - half) * width + x] = values[lane];
    __syncthreads();
    for (int lane = 0; lane < lanes; ++lane)
      if (y + half < height && y < half) values[lane] += shared[lane][y * width + x];
    __syncthreads();
  }
}

template <typename T, int act, int lanes, bool columns>
__global__ void __launch_bounds__(threads_of_a_block) forward_kernel(BiasAct<T> p, Tiles tiles) {
  const Walk at(tiles, blockIdx.x, threadIdx.x, threadIdx.y, blockDim.y);
  if (at.inside) forward<act, lanes, columns>(p, tiles, at);
}

template <typename T, int act, int lanes, bool columns>
__global__ void __launch_bounds__(threads_of_a_block) backward_kernel(BiasAct<T> p, Tiles tiles) {
  const Walk at(tiles, blockIdx.x, threadIdx.x, threadIdx.y, blockDim.y);
  Arithmetic<T> sums[columns ? lanes : 1] = {};
  if (at.inside) backward<act, lanes, columns>(p, tiles, at, sums);
  if (!p.db) return;
  const int x = columns ? threadIdx.x : 0, y = columns ? threadIdx.y : threadIdx.y * blockDim.x + threadIdx.x;
  const int width = columns ? blockDim.x : 1, height = columns ? blockDim.y : blockDim.x * blockDim.y;
  add_over_y(sums, x, width, y, height);
  if (y > 0 || !at.inside) return;
  Arithmetic<T>* to = tiles.parts == 1 ? p.db : p.partial;
  for (int lane = 0; lane < (columns ? lanes : 1); ++lane) to[(at.channel + lane) * tiles.parts + at.part] = sums[lane];
}

// One block a channel.
template <typename A>
__global__ void __launch_bounds__(threads_of_a_block) add_parts_kernel(const A* partial, A* db, int64_t parts) {
  A sum[1] = {};
  for (int64_t i = threadIdx.x; i < parts; i += threads_of_a_block) sum[0] += partial[blockIdx.x * parts + i];
  add_over_y(sum, 0, 1, threadIdx.x, threads_of_a_block);
  if (threadIdx.x == 0) db[blockIdx.x] = sum[0];
}

template <typename T>
cudaError_t launch_bias_act(const BiasAct<T>& p, cudaStream_t stream) {
  const Tiles tiles = tiles_of(p, false);
  with_shape(p, tiles, [&](auto act, auto lanes, auto columns) {
    forward_kernel<T, act(), lanes(), columns()><<<unsigned(tiles.blocks), tiles.block, 0, stream>>>(p, tiles);
  });
  return cudaGetLastError();
}

// p.partial has room for channels * tiles_of(p, true).parts values where p.db is asked for; a second launch adds them.
template <typename T>
cudaError_t launch_bias_act_backward(const BiasAct<T>& p, cudaStream_t stream) {
  const Tiles tiles = tiles_of(p, p.db != nullptr);
  with_shape(p, tiles, [&](auto act, auto lanes, auto columns) {
    backward_kernel<T, act(), lanes(), columns()><<<unsigned(tiles.blocks), tiles.block, 0, stream>>>(p, tiles);
  });
  if (p.db && tiles.parts > 1)
    add_parts_kernel<<<unsigned(p.channels), threads_of_a_block, 0, stream>>>(p.partial, p.db, tiles.parts);
  return cudaGetLastError();
}

#endif

}  // namespace ganzoo
