#pragma once

template <typename T>
void twice(const T* from, T* to, long count) {
  for (long i = 0; i < count; ++i) to[i] = 2 * from[i];
}
