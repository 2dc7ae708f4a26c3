// What a gradient penalty needs around the two calls into the network: points between real and fake samples, the
// penalty of each sample's gradient, and the penalty's own gradient; one launch each. CUDA, no torch.
//
// A tensor is [samples, size], each sample one contiguous block of memory.
#pragma once

#ifdef __CUDACC__
#include <cooperative_groups.h>
#endif

#include <algorithm>

#include "penalty.h"
#include "vector.cuh"

namespace ganzoo {

// Blocks and threads for one sample; a thread takes `flight` vectors at once, a block's threads side by side.
struct Share {
  static constexpr int flight = 4;
  int64_t vectors;  // in a sample
  int threads;
  Division blocks;

  Share(int64_t size, int lanes, int most_threads, int64_t most_blocks) : vectors(size / lanes) {
    const int64_t wanted = std::max<int64_t>(1, (vectors + flight - 1) / flight);
    threads = int(std::min<int64_t>(most_threads, (wanted + 31) / 32 * 32));
    blocks = Division(std::min<int64_t>(most_blocks, (wanted + threads - 1) / threads));
  }
};

template <typename T>
struct SquaredNorms {
  using A = Arithmetic<T>;
  const T* g;
  A *value, *slope;  // [samples]
  int64_t samples, size;
  Form form;
  A center, weight;
};

// A thread's part of the sum of squares: every `step`-th vector.
template <int lanes, typename T>
GANZOO_INLINE Arithmetic<T> squares(const T* g, int64_t first, int64_t step, int64_t vectors) {
  Arithmetic<T> sums[Share::flight] = {}, values[lanes];
  for (int64_t i = first; i < vectors; i += Share::flight * step) {
    Vector<T, lanes> loaded[Share::flight];
#pragma unroll
    for (int j = 0; j < Share::flight; ++j)
      loaded[j] = Vector<T, lanes>::load(g + (i + j * step) * lanes, i + j * step < vectors);
#pragma unroll
    for (int j = 0; j < Share::flight; ++j) {
      loaded[j].widened(values);
#pragma unroll
      for (int lane = 0; lane < lanes; ++lane) sums[j] += values[lane] * values[lane];
    }
  }
  return (sums[0] + sums[1]) + (sums[2] + sums[3]);
}

// to = function(from, other, of_sample), value by value; other may be null.
template <typename T>
struct Map {
  const T *from, *other;
  T* to;
  const Arithmetic<T>*of_sample, *slope;  // [samples]
  int64_t samples, size;
};

struct PenaltyBackward {  // 2 * dvalue[n] * slope[n] * g
  static constexpr bool two = false;
  template <typename T>
  static GANZOO_INLINE Arithmetic<T> factor(const Map<T>& p, int64_t n) {
    return 2 * p.of_sample[n] * p.slope[n];
  }
  template <typename A>
  static GANZOO_INLINE A of(A factor, A g, A) { return factor * g; }
};

struct Between {  // real + mix[n] * (fake - real)
  static constexpr bool two = true;
  template <typename T>
  static GANZOO_INLINE Arithmetic<T> factor(const Map<T>& p, int64_t n) { return p.of_sample[n]; }
  template <typename A>
  static GANZOO_INLINE A of(A mix, A real, A fake) { return real + mix * (fake - real); }
};

template <typename Function, int lanes, typename T>
GANZOO_INLINE void map(const Map<T>& p, const Share& share, uint32_t block, int thread) {
  using V = Vector<T, lanes>;
  const int64_t part = share.blocks.take(block), n = block;
  const Arithmetic<T> factor = Function::factor(p, n);
  const int64_t first = part * share.threads * Share::flight + thread;
  V from[Share::flight], other[Share::flight];
#pragma unroll
  for (int j = 0; j < Share::flight; ++j) {
    const int64_t i = first + j * share.threads, offset = n * p.size + i * lanes;
    from[j] = V::load(p.from + offset, i < share.vectors);
    if (Function::two) other[j] = V::load(p.other + offset, i < share.vectors);
  }
#pragma unroll
  for (int j = 0; j < Share::flight; ++j) {
    const int64_t i = first + j * share.threads;
    Arithmetic<T> values[lanes], others[lanes] = {};
    from[j].widened(values);
    if (Function::two) other[j].widened(others);
#pragma unroll
    for (int lane = 0; lane < lanes; ++lane) values[lane] = Function::of(factor, values[lane], others[lane]);
    if (i < share.vectors) V::store(p.to + n * p.size + i * lanes, values);
  }
}

// Calls function(std::integral_constant<int, lanes>): vectors of 16 bytes where every sample starts and ends at one.
template <typename T, typename Function>
cudaError_t with_lanes(int64_t size, bool aligned_pointers, Function function) {
  const bool whole = size % lanes_of<T> == 0 && aligned_pointers;
  return whole ? function(std::integral_constant<int, lanes_of<T>>()) : function(std::integral_constant<int, 1>());
}

#ifdef __CUDACC__

// A cluster of blocks, or one block, for every sample. Always adds in the same order.
template <typename T, int lanes>
__global__ void __launch_bounds__(1024) squared_norm_kernel(SquaredNorms<T> p, Share share) {
  using A = Arithmetic<T>;
  __shared__ A of_warps[32], of_block;
  const int64_t n = share.blocks.of(blockIdx.x), part = blockIdx.x - n * share.blocks.divisor;
  const int threads = blockDim.x, lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  A sum = squares<lanes>(p.g + n * p.size, part * threads + threadIdx.x, int64_t(threads) * share.blocks.divisor,
                         share.vectors);
  for (int distance = 16; distance > 0; distance /= 2) sum += __shfl_down_sync(~0u, sum, distance);
  if (lane == 0) of_warps[warp] = sum;
  __syncthreads();
  if (threadIdx.x == 0) {
    for (int i = 1; i < threads / 32; ++i) sum += of_warps[i];
    of_block = sum;
  }
#if __CUDA_ARCH__ >= 900
  auto cluster = cooperative_groups::this_cluster();
  cluster.sync();
  if (part == 0 && threadIdx.x == 0)
    for (unsigned i = 1; i < cluster.num_blocks(); ++i) sum += *cluster.map_shared_rank(&of_block, i);
  cluster.sync();  // a block's memory stays until it was read
#endif
  if (part == 0 && threadIdx.x == 0)
    penalty(sum, p.form, p.center, p.weight, p.value + n, p.slope + n);
}

template <typename T, typename Function, int lanes>
__global__ void __launch_bounds__(threads_of_a_block) map_kernel(Map<T> p, Share share) {
  map<Function, lanes>(p, share, blockIdx.x, threadIdx.x);
}

// Whether this kernel, as compiled, may run in clusters on the current device.
inline bool has_clusters(const void* kernel) {
  cudaFuncAttributes attributes;
  return cudaFuncGetAttributes(&attributes, kernel) == cudaSuccess && attributes.ptxVersion >= 90;
}

template <typename T, int lanes>
cudaError_t launch_squared_norms(const SquaredNorms<T>& p, cudaStream_t stream) {
  auto* kernel = &squared_norm_kernel<T, lanes>;
  const bool clusters = has_clusters(reinterpret_cast<const void*>(kernel));
  Share share(p.size, lanes, clusters ? 512 : 1024, clusters ? 8 : 1);
  while (share.blocks.divisor & (share.blocks.divisor - 1)) share.blocks = Division(share.blocks.divisor - 1);
  cudaLaunchAttribute cluster;
  cluster.id = cudaLaunchAttributeClusterDimension;
  cluster.val.clusterDim = {share.blocks.divisor, 1, 1};
  cudaLaunchConfig_t config = {};
  config.gridDim = unsigned(p.samples * share.blocks.divisor);
  config.blockDim = unsigned(share.threads);
  config.stream = stream;
  config.attrs = &cluster;
  config.numAttrs = clusters ? 1 : 0;
  return cudaLaunchKernelEx(&config, kernel, p, share);
}

template <typename T>
cudaError_t launch_gradient_penalty(const SquaredNorms<T>& p, cudaStream_t stream) {
  return with_lanes<T>(p.size, aligned(p.g, 16),
                       [&](auto lanes) { return launch_squared_norms<T, lanes()>(p, stream); });
}

template <typename Function, typename T>
cudaError_t launch_map(const Map<T>& p, cudaStream_t stream) {
  const bool vectors = aligned(p.from, 16) && aligned(p.other, 16) && aligned(p.to, 16);
  return with_lanes<T>(p.size, vectors, [&](auto lanes) {
    const Share share(p.size, lanes(), threads_of_a_block, int64_t(1) << 31);
    const int64_t blocks = p.samples * share.blocks.divisor;
    map_kernel<T, Function, lanes()><<<unsigned(blocks), share.threads, 0, stream>>>(p, share);
    return cudaGetLastError();
  });
}

#endif

}  // namespace ganzoo
