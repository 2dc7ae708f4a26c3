// What a gradient penalty needs around the two calls into the network: points between real and fake samples, the
// penalty of each sample's gradient, and the penalty's own gradient. CPU, no torch.
//
// A tensor is [samples, size], each sample one contiguous block of memory. Work is cut into pieces of a sample, and
// sums are taken piece by piece, whatever the threads are, so that results do not depend on them.
#pragma once

#include <vector>

#include "memory.h"
#include "penalty.h"

namespace ganzoo {

struct Samples {
  int64_t samples, size;

  int64_t pieces_a_sample() const { return (size + block - 1) / block; }
  int64_t pieces() const { return samples * pieces_a_sample(); }
  int64_t sample(int64_t piece) const { return piece / pieces_a_sample(); }
  int64_t offset(int64_t piece) const { return sample(piece) * size + piece % pieces_a_sample() * block; }
  int64_t length(int64_t piece) const { return std::min(block, size - piece % pieces_a_sample() * block); }
};

// partial[piece] = the sum of squares in the piece.
template <typename A>
void square_sums(Source<A> g, Samples at, double* partial, int64_t begin, int64_t end) {
  A read[block];
  for (int64_t piece = begin; piece < end; ++piece) {
    const int64_t count = at.length(piece);
    const A* values = g.read(at.offset(piece), count, read);
    A lanes[32] = {};
    int64_t i = 0;
    for (; i + 32 <= count; i += 32)
      for (int lane = 0; lane < 32; ++lane) lanes[lane] += values[i + lane] * values[i + lane];
    for (; i < count; ++i) lanes[i % 32] += values[i] * values[i];
    partial[piece] = 0;
    for (A lane : lanes) partial[piece] += lane;
  }
}

// value[n], slope[n] from the pieces' sums.
template <typename A>
void penalties(const double* partial, Samples at, Form form, double center, double weight, A* value, A* slope) {
  for (int64_t n = 0; n < at.samples; ++n) {
    double squared = 0;
    for (int64_t i = 0; i < at.pieces_a_sample(); ++i) squared += partial[n * at.pieces_a_sample() + i];
    penalty(A(squared), form, A(center), A(weight), value + n, slope + n);
  }
}

// dg = 2 * dvalue[n] * slope[n] * g
template <typename A>
void penalty_backward(Source<A> g, const A* dvalue, const A* slope, Sink<A> dg, Samples at, int64_t begin,
                      int64_t end) {
  A read[block], room[block];
  for (int64_t piece = begin; piece < end; ++piece) {
    const int64_t count = at.length(piece), n = at.sample(piece);
    const A* __restrict values = g.read(at.offset(piece), count, read);
    A* __restrict target = dg.place(at.offset(piece), room);
    const A factor = A(2) * dvalue[n] * slope[n];
    for (int64_t i = 0; i < count; ++i) target[i] = factor * values[i];
    dg.write(at.offset(piece), count, room);
  }
}

// real + mix[n] * (fake - real)
template <typename A>
void between(Source<A> real, Source<A> fake, const A* mix, Sink<A> out, Samples at, int64_t begin, int64_t end) {
  A read[2][block], room[block];
  for (int64_t piece = begin; piece < end; ++piece) {
    const int64_t count = at.length(piece);
    const A* __restrict from = real.read(at.offset(piece), count, read[0]);
    const A* __restrict to = fake.read(at.offset(piece), count, read[1]);
    A* __restrict target = out.place(at.offset(piece), room);
    const A share = mix[at.sample(piece)];
    for (int64_t i = 0; i < count; ++i) target[i] = from[i] + share * (to[i] - from[i]);
    out.write(at.offset(piece), count, room);
  }
}

}  // namespace ganzoo
