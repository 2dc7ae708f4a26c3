// Values in memory and in arithmetic: tensors of 64, 32 and 16 bit are read into and written from blocks of float or
// double, so that the arithmetic of a kernel is written, and compiled, once. CPU only, no torch.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>

#if defined(__AVX512F__) || defined(__F16C__)
#include <immintrin.h>
#endif

namespace ganzoo {

enum class Type : int { float64, float32, float16, bfloat16 };

inline int64_t size_of(Type type) { return type == Type::float64 ? 8 : type == Type::float32 ? 4 : 2; }

// A block fits the first cache beside what is read.
constexpr int64_t block = 1024;

// Outputs larger than this are written past the caches: they would not stay there, and a plain store reads the line
// that it is about to overwrite.
constexpr int64_t streaming_bytes = int64_t(1) << 24;

inline float from_bfloat16(uint16_t bits) {
  const uint32_t wide = uint32_t(bits) << 16;
  float value;
  std::memcpy(&value, &wide, sizeof value);
  return value;
}

inline uint16_t to_bfloat16(float value) {
  uint32_t wide;
  std::memcpy(&wide, &value, sizeof wide);
  const uint32_t rounded = (wide + 0x7fff + ((wide >> 16) & 1)) >> 16;
  return uint16_t(value != value ? 0x7fc0 : rounded);
}

inline float from_float16(uint16_t bits) {
  const uint32_t sign = uint32_t(bits & 0x8000) << 16, magnitude = bits & 0x7fff;
  uint32_t wide = (magnitude << 13) + (112u << 23);
  float value;
  if (magnitude >= 0x7c00) {  // infinite or not a number
    wide = (magnitude << 13) | 0x7f800000;
    std::memcpy(&value, &wide, sizeof value);
  } else if (magnitude < 0x0400) {  // subnormal: a whole number of 2^-24
    value = float(magnitude) * 5.9604644775390625e-8f;
  } else {
    std::memcpy(&value, &wide, sizeof value);
  }
  std::memcpy(&wide, &value, sizeof wide);
  wide |= sign;
  std::memcpy(&value, &wide, sizeof value);
  return value;
}

inline uint16_t to_float16(float value) {
  uint32_t wide;
  std::memcpy(&wide, &value, sizeof wide);
  const uint16_t sign = uint16_t((wide >> 16) & 0x8000);
  wide &= 0x7fffffff;
  if (wide > 0x7f800000) return sign | 0x7e00;
  if (wide >= 0x477ff000) return sign | 0x7c00;  // 65520 and more round to infinity
  if (wide < 0x38800000) {                       // below 2^-14: a whole number of 2^-24
    float magnitude;
    std::memcpy(&magnitude, &wide, sizeof magnitude);
    magnitude += 0.5f;  // whose last bit is worth 2^-24: the sum rounds to nearest even
    std::memcpy(&wide, &magnitude, sizeof wide);
    return sign | uint16_t(wide - 0x3f000000);
  }
  return sign | uint16_t((wide + 0xfff + ((wide >> 13) & 1) - (112u << 23)) >> 13);
}

inline void widen(const uint16_t* __restrict from, float* __restrict to, int64_t count, Type type) {
  int64_t i = 0;
  if (type == Type::bfloat16) {
    for (; i < count; ++i) to[i] = from_bfloat16(from[i]);
    return;
  }
#if defined(__AVX512F__)
  for (; i + 16 <= count; i += 16)
    _mm512_storeu_ps(to + i, _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from + i))));
#elif defined(__F16C__)
  for (; i + 8 <= count; i += 8)
    _mm256_storeu_ps(to + i, _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from + i))));
#endif
  for (; i < count; ++i) to[i] = from_float16(from[i]);
}

inline void narrow(const float* __restrict from, uint16_t* __restrict to, int64_t count, Type type) {
  int64_t i = 0;
  if (type == Type::bfloat16) {
#if defined(__AVX512BF16__)  // numbers below 2^-126 become 0
    for (; i + 16 <= count; i += 16) {
      const __m256bh narrowed = _mm512_cvtneps_pbh(_mm512_loadu_ps(from + i));
      std::memcpy(to + i, &narrowed, sizeof narrowed);
    }
#endif
    for (; i < count; ++i) to[i] = to_bfloat16(from[i]);
    return;
  }
#if defined(__AVX512F__)
  for (; i + 16 <= count; i += 16)
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + i), _mm512_cvtps_ph(_mm512_loadu_ps(from + i), 0));
#elif defined(__F16C__)
  for (; i + 8 <= count; i += 8)
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to + i), _mm256_cvtps_ph(_mm256_loadu_ps(from + i), 0));
#endif
  for (; i < count; ++i) to[i] = to_float16(from[i]);
}

// Copies past the caches where the processor can.
inline void stream(void* to, const void* from, int64_t bytes) {
  char* target = static_cast<char*>(to);
  const char* source = static_cast<const char*>(from);
#if defined(__AVX512F__)
  const int64_t head = std::min<int64_t>(bytes, -reinterpret_cast<intptr_t>(target) & 63);
  std::memcpy(target, source, head);
  int64_t i = head;
  for (; i + 64 <= bytes; i += 64)
    _mm512_stream_si512(reinterpret_cast<__m512i*>(target + i), _mm512_loadu_si512(source + i));
  std::memcpy(target + i, source + i, bytes - i);
#elif defined(__AVX__)
  const int64_t head = std::min<int64_t>(bytes, -reinterpret_cast<intptr_t>(target) & 31);
  std::memcpy(target, source, head);
  int64_t i = head;
  for (; i + 32 <= bytes; i += 32)
    _mm256_stream_si256(reinterpret_cast<__m256i*>(target + i),
                        _mm256_loadu_si256(reinterpret_cast<const __m256i*>(source + i)));
  std::memcpy(target + i, source + i, bytes - i);
#else
  std::memcpy(target, source, bytes);
#endif
}

// One value of a tensor, as arithmetic takes it. bfloat16 is read where it lies; float16 goes through `widen`.
struct BFloat16 {
  uint16_t bits;
};

inline float value_of(float x) { return x; }
inline double value_of(double x) { return x; }
inline float value_of(BFloat16 x) { return from_bfloat16(x.bits); }

// A tensor that is read. A is float or double, the type of the arithmetic.
template <typename A>
struct Source {
  const void* data;
  Type type;

  // `count` values from `offset` on: in place, or read into `room`.
  const A* read(int64_t offset, int64_t count, A* room) const {
    if constexpr (sizeof(A) == 8) return static_cast<const A*>(data) + offset;
    if (type == Type::float32) return static_cast<const A*>(data) + offset;
    widen(static_cast<const uint16_t*>(data) + offset, reinterpret_cast<float*>(room), count, type);
    return room;
  }
};

// A tensor that is written.
template <typename A>
struct Sink {
  void* data;
  Type type;
  bool streams;  // write past the caches

  Sink(void* data, Type type, int64_t count) : data(data), type(type), streams(count * size_of(type) > streaming_bytes) {}

  bool direct() const { return size_of(type) == sizeof(A) && !streams; }

  // Where to compute values for `offset`: in place, or in `room`, which `write` then takes there.
  A* place(int64_t offset, A* room) const { return direct() ? static_cast<A*>(data) + offset : room; }

  void write(int64_t offset, int64_t count, const A* room) const {
    if (direct()) return;
    if (size_of(type) == sizeof(A)) {
      stream(static_cast<A*>(data) + offset, room, count * sizeof(A));
    } else if constexpr (sizeof(A) == 4) {
      uint16_t* target = static_cast<uint16_t*>(data) + offset;
      if (!streams) return narrow(room, target, count, type);
      uint16_t narrowed[block];
      for (int64_t i = 0; i < count; i += block) {
        const int64_t now = std::min(block, count - i);
        narrow(room + i, narrowed, now, type);
        stream(target + i, narrowed, now * 2);
      }
    }
  }
};

}  // namespace ganzoo
