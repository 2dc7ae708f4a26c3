// The activations of bias_act, for one value: forward, and the slope as a function of what the forward pass kept.
// Shared by the CPU kernels (plain C++17) and the CUDA kernels. No torch.
//
// A is the arithmetic's type: float for 16 and 32 bit tensors, double for 64 bit ones.
#pragma once

#include <cmath>
#include <cstdint>

#ifdef __CUDACC__
#define GANZOO_INLINE __host__ __device__ __forceinline__
#else
#define GANZOO_INLINE inline __attribute__((always_inline))
#endif

namespace ganzoo {

// The order is that of ACTIVATIONS in ganzoo/ops/bias_act.py.
enum class Activation : int { linear, relu, lrelu, tanh, sigmoid, elu, selu, softplus, swish };

constexpr double selu_scale = 1.0507009873554804934193349852946;
constexpr double selu_alpha = 1.6732632423543772848170429916717;

// float versions that a compiler can turn into vector instructions: no calls, no branches. Errors are at most 2 units
// in the last place of the result (exp, exp minus 1) over the range where the result is a normal number.
namespace smooth {

GANZOO_INLINE double exp(double x) { return ::exp(x); }
GANZOO_INLINE double expm1(double x) { return ::expm1(x); }
GANZOO_INLINE double log1p(double x) { return ::log1p(x); }

#ifdef __CUDA_ARCH__

GANZOO_INLINE float exp(float x) { return ::expf(x); }
GANZOO_INLINE float expm1(float x) { return ::expm1f(x); }
GANZOO_INLINE float log1p(float x) { return ::log1pf(x); }
GANZOO_INLINE float tanh(float x) { return ::tanhf(x); }

// A quotient of numbers between 0 and 2 needs none of a division's care for the ends of float's range.
GANZOO_INLINE float sigmoid(float x) {
  const float e = exp(x < 0.0f ? x : -x);
  return __fdividef(x < 0.0f ? e : 1.0f, 1.0f + e);
}

#else

GANZOO_INLINE float from_bits(int32_t bits) {
  float value;
  __builtin_memcpy(&value, &bits, sizeof value);
  return value;
}

GANZOO_INLINE int32_t to_bits(float value) {
  int32_t bits;
  __builtin_memcpy(&bits, &value, sizeof bits);
  return bits;
}

// exp(x) = 2^n * exp(r), |r| <= ln 2 / 2. Returns n and exp(r) - 1.
GANZOO_INLINE float reduced_expm1(float x, float& n) {
  constexpr float shift = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer
  n = (x * 1.44269504088896341f + shift) - shift;
  float r = x - n * 0.693145751953125f;  // ln 2 in two pieces, the first of few bits
  r = r - n * 1.42860682030941723212e-6f;
  float p = 1.9841270e-4f;  // Taylor's series to r^7: the rest is below 2^-27 at the ends
  p = p * r + 1.3888889e-3f;
  p = p * r + 8.3333333e-3f;
  p = p * r + 4.1666667e-2f;
  p = p * r + 1.6666667e-1f;
  p = p * r + 0.5f;
  return p * r * r + r;
}

GANZOO_INLINE float clamped(float x) {  // where float's exp is 0 or infinite anyway; a NaN stays one
  x = x > 89.0f ? 89.0f : x;
  return x < -104.0f ? -104.0f : x;
}

// 2^n in two factors, so that results near the ends of float's range need no care.
GANZOO_INLINE float scaled(float value, float n) {
  int32_t whole = static_cast<int32_t>(n);
  int32_t half = whole >> 1;
  return value * from_bits((half + 127) << 23) * from_bits((whole - half + 127) << 23);
}

GANZOO_INLINE float exp(float x) {
  float n;
  const float p = reduced_expm1(clamped(x), n);
  const float y = scaled(1.0f + p, n);
  return x != x ? x : y;
}

GANZOO_INLINE float expm1(float x) {
  float n;
  const float p = reduced_expm1(clamped(x), n);
  const float one = scaled(1.0f, n);
  const float y = n == 0.0f ? p : scaled(p, n) + (one - 1.0f);
  return x != x ? x : y;
}

// log(1 + t) for 0 <= t <= 1, all that softplus asks for: 2 artanh(t / (2 + t)).
GANZOO_INLINE float log1p(float t) {
  const float s = t / (2.0f + t);
  const float q = s * s;  // at most 1/9
  float p = 1.0f / 15.0f;
  p = p * q + 1.0f / 13.0f;
  p = p * q + 1.0f / 11.0f;
  p = p * q + 1.0f / 9.0f;
  p = p * q + 1.0f / 7.0f;
  p = p * q + 1.0f / 5.0f;
  p = p * q + 1.0f / 3.0f;
  return 2.0f * s * (1.0f + q * p);
}

#endif

template <typename A>
GANZOO_INLINE A tanh(A x) {
  const A e = expm1(A(-2) * (x < A(0) ? -x : x));  // in (-1, 0]
  const A y = -e / (A(2) + e);
  return x < A(0) ? -y : y;
}

template <typename A>
GANZOO_INLINE A sigmoid(A x) {
  const A e = exp(x < A(0) ? x : -x);
  return (x < A(0) ? e : A(1)) / (A(1) + e);
}

}  // namespace smooth

// act(x), before the gain.
template <Activation act, typename A>
GANZOO_INLINE A activate(A x, A alpha) {
  if constexpr (act == Activation::relu) return x < A(0) ? A(0) : x;
  if constexpr (act == Activation::lrelu) return x < A(0) ? x * alpha : x;
  if constexpr (act == Activation::tanh) return smooth::tanh(x);
  if constexpr (act == Activation::sigmoid) return smooth::sigmoid(x);
  if constexpr (act == Activation::elu) return x < A(0) ? smooth::expm1(x) : x;
  if constexpr (act == Activation::selu)
    return A(selu_scale) * (x < A(0) ? A(selu_alpha) * smooth::expm1(x) : x);
  if constexpr (act == Activation::softplus)
    return (x < A(0) ? A(0) : x) + smooth::log1p(smooth::exp(x < A(0) ? x : -x));
  if constexpr (act == Activation::swish) return x * smooth::sigmoid(x);
  return x;
}

// Whether the backward pass needs the input (with its bias) rather than the output.
GANZOO_INLINE constexpr bool keeps_input(Activation act) { return act == Activation::swish; }

// The derivative of act, from `kept`: the output before gain and clamp, or the input where keeps_input(act).
template <Activation act, typename A>
GANZOO_INLINE A slope(A kept, A alpha) {
  if constexpr (act == Activation::relu) return kept > A(0) ? A(1) : A(0);
  if constexpr (act == Activation::lrelu) return kept > A(0) ? A(1) : alpha;
  if constexpr (act == Activation::tanh) return A(1) - kept * kept;
  if constexpr (act == Activation::sigmoid) return kept * (A(1) - kept);
  if constexpr (act == Activation::elu) return kept < A(0) ? kept + A(1) : A(1);
  if constexpr (act == Activation::selu)
    return kept < A(0) ? kept + A(selu_scale * selu_alpha) : A(selu_scale);
  if constexpr (act == Activation::softplus) return -smooth::expm1(-kept);
  if constexpr (act == Activation::swish) {
    const A s = smooth::sigmoid(kept);
    return s * (A(1) + kept * (A(1) - s));
  }
  return A(1);
}

}  // namespace ganzoo
