// The penalty of one sample's squared norm, shared by the CPU and the CUDA kernels. No torch.
#pragma once

#include <cmath>

#include "activation.h"

namespace ganzoo {

// The order is that of FORMS in ganzoo/ops/gradient_penalty.py.
enum class Form : int { squared, two_sided, one_sided };

// slope: the derivative of the value with respect to the squared norm.
template <typename A>
GANZOO_INLINE void penalty(A squared, Form form, A center, A weight, A* value, A* slope) {
  using std::sqrt;
  const A norm = sqrt(squared), distance = norm - center;
  const bool counts = form == Form::two_sided || !(distance <= A(0));  // a NaN counts
  *value = form == Form::squared ? weight * squared : counts ? weight * distance * distance : A(0);
  *slope = form == Form::squared ? weight : counts && squared != A(0) ? weight * (distance / norm) : A(0);
}

}  // namespace ganzoo
