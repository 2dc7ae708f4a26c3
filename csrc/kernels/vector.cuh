// What the CUDA kernels share: neighbouring values moved as one vector of up to 16 bytes, their arithmetic type, and
// division without a divide instruction. CUDA, no torch. All of it also runs on the host, where emulate.cu tests it.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>
#include <stdint.h>

#include <type_traits>

#include "activation.h"  // GANZOO_INLINE

namespace ganzoo {

template <typename T>
using Arithmetic = std::conditional_t<std::is_same_v<T, double>, double, float>;

// Values in the widest load. Only tests use double: it goes one by one.
template <typename T>
constexpr int lanes_of = std::is_same_v<T, double> ? 1 : 16 / sizeof(T);

constexpr int threads_of_a_block = 256;

GANZOO_INLINE float widen(__half value) { return __half2float(value); }
GANZOO_INLINE float widen(__nv_bfloat16 value) { return __bfloat162float(value); }
GANZOO_INLINE float widen(float value) { return value; }
GANZOO_INLINE double widen(double value) { return value; }

template <typename T>
GANZOO_INLINE T narrow(Arithmetic<T> value) {
  if constexpr (std::is_same_v<T, __half>)
    return __float2half_rn(value);
  else if constexpr (std::is_same_v<T, __nv_bfloat16>)
    return __float2bfloat16_rn(value);
  else
    return value;
}

template <typename To, typename From>
GANZOO_INLINE To same_bits(From from) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  memcpy(static_cast<void*>(&to), &from, sizeof to);
  return to;
}

// Loads go past the path of stores: what is read must not be written meanwhile, so loads may move up past stores.
template <typename Bits>
GANZOO_INLINE Bits read(const void* from) {
#ifdef __CUDA_ARCH__
  return __ldg(static_cast<const Bits*>(from));
#else
  return *static_cast<const Bits*>(from);
#endif
}

// `count` neighbours of float or of a 16 bit type as words: a struct of halves would be moved in pieces. Nothing that a
// kernel stores with it may be loaded by the same kernel.
template <typename T, int count>
struct Vector {
  static constexpr int words = sizeof(T) * count / 4;
  static_assert(words == 1 || words == 2 || words == 4);
  uint32_t word[words];

  static GANZOO_INLINE Vector load(const T* from, bool there = true) {  // zero where not there
    if (!there) return {};
    if constexpr (words == 4) {
      const uint4 bits = read<uint4>(from);
      return {{bits.x, bits.y, bits.z, bits.w}};
    } else if constexpr (words == 2) {
      const uint2 bits = read<uint2>(from);
      return {{bits.x, bits.y}};
    } else {
      return {{read<uint32_t>(from)}};
    }
  }

  GANZOO_INLINE void widened(float (&values)[count]) const {
#pragma unroll
    for (int i = 0; i < count; ++i)
      if constexpr (std::is_same_v<T, __half>) {
        const __half2 pair = same_bits<__half2>(word[i / 2]);
        values[i] = i % 2 ? __high2float(pair) : __low2float(pair);
      } else if constexpr (std::is_same_v<T, __nv_bfloat16>)
        values[i] = same_bits<float>(i % 2 ? word[i / 2] & 0xffff0000u : word[i / 2] << 16);
      else
        values[i] = same_bits<float>(word[i]);
  }

  static GANZOO_INLINE void store(T* to, const float (&values)[count]) {
    uint32_t word[words];
#pragma unroll
    for (int i = 0; i < words; ++i)
      if constexpr (std::is_same_v<T, __half>)
        word[i] = same_bits<uint32_t>(__floats2half2_rn(values[2 * i], values[2 * i + 1]));
      else if constexpr (std::is_same_v<T, __nv_bfloat16>)
        word[i] = same_bits<uint32_t>(__floats2bfloat162_rn(values[2 * i], values[2 * i + 1]));
      else
        word[i] = same_bits<uint32_t>(values[i]);
#ifdef __CUDA_ARCH__  // a plain store of a struct may come out as one store for each word
    const size_t address = __cvta_generic_to_global(to);
    if constexpr (words == 4)
      asm volatile("st.global.v4.b32 [%0], {%1, %2, %3, %4};" ::"l"(address), "r"(word[0]), "r"(word[1]), "r"(word[2]),
                   "r"(word[3]));
    else if constexpr (words == 2)
      asm volatile("st.global.v2.b32 [%0], {%1, %2};" ::"l"(address), "r"(word[0]), "r"(word[1]));
    else
      asm volatile("st.global.b32 [%0], %1;" ::"l"(address), "r"(word[0]));
#else
    memcpy(to, word, sizeof word);
#endif
  }
};

template <typename T>
struct Vector<T, 1> {
  T value;

  static GANZOO_INLINE Vector load(const T* from, bool there = true) {
    if constexpr (sizeof(T) == 2)  // 32 bits in a register: selecting 16 of them takes an instruction more
      return {same_bits<T>(uint16_t(there ? uint32_t(read<uint16_t>(from)) : 0u))};
    else
      return {there ? read<T>(from) : T(0)};
  }
  GANZOO_INLINE void widened(Arithmetic<T> (&values)[1]) const { values[0] = widen(value); }
  static GANZOO_INLINE void store(T* to, const Arithmetic<T> (&values)[1]) { *to = narrow<T>(values[0]); }
};

// Keeps a pointer that moves by steps as one: else every use of it is computed anew from where it started.
template <typename T>
GANZOO_INLINE void keep([[maybe_unused]] T*& pointer) {
#ifdef __CUDA_ARCH__
  asm volatile("" : "+l"(pointer));
  __builtin_assume(__isGlobal(pointer));
#endif
}

inline bool aligned(const void* pointer, size_t bytes) { return reinterpret_cast<uintptr_t>(pointer) % bytes == 0; }

// n / divisor, for n < 2^31 as one multiplication and one shift: factor = ceil(2^shift / divisor), where
// 2^shift / divisor is at least 2^31 (so the error, below n / 2^shift, never reaches the next integer).
struct Division {
  uint32_t divisor, factor, shift;

  Division() : Division(1) {}
  explicit Division(int64_t by) : divisor(uint32_t(by)), shift(31) {
    while ((uint64_t(1) << (shift - 31)) < divisor) ++shift;
    factor = uint32_t(((uint64_t(1) << shift) + divisor - 1) / divisor);
  }
  GANZOO_INLINE uint32_t of(uint32_t n) const { return uint32_t((uint64_t(n) * factor) >> shift); }
  GANZOO_INLINE uint64_t of(uint64_t n) const { return n / divisor; }

  // Divides n in place, returns the remainder.
  template <typename Index>
  GANZOO_INLINE uint32_t take(Index& n) const {
    const Index quotient = of(n), remainder = n - quotient * divisor;
    n = quotient;
    return uint32_t(remainder);
  }
};

}  // namespace ganzoo
