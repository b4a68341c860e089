// Additive attention inside a loop; equation in nn/scores.py.
#pragma once

#include "numbers.h"

namespace {

// Additive attention for one query a row: tanh of query and keys, and its product with a vector.
// asked (rows, size); keys (rows, positions, size); squashed (rows, positions, size) is kept for the way back.
template <typename T>
void additive_forward(int64_t rows, int64_t size, int64_t threads, int64_t positions, const T *asked, const T *keys,
                      const T *vector, T *squashed, int64_t squashed_row, float *scores) {
    const int team = rows * positions * size < 4096 ? 1 : static_cast<int>(threads);
#pragma omp parallel for num_threads(team) if (team > 1)
    for (int64_t n = 0; n < rows; n++) {
        const T *q = asked + n * size;
        for (int64_t s = 0; s < positions; s++) {
            const T *k = keys + (n * positions + s) * size;
            T *to = squashed + n * squashed_row + s * size;
            float sum = 0.0f;
#pragma omp simd reduction(+ : sum)
            for (int64_t j = 0; j < size; j++) {
                float value = hyperbolic(load(q[j]) + load(k[j]));
                store(to[j], value);
                sum += value * load(vector[j]);
            }
            scores[n * positions + s] = sum;
        }
    }
}

// Its way back: gradients of the keys and of the vector are added up over the steps.
template <typename T>
void additive_backward(int64_t rows, int64_t size, int64_t threads, int64_t positions, const float *grad_scores,
                       const T *squashed, int64_t squashed_row, const T *vector, T *grad_asked, float *grad_keys,
                       float *grad_vector) {
    const int team = rows * positions * size < 4096 ? 1 : static_cast<int>(threads);
    constexpr int64_t block = 64;
#pragma omp parallel for num_threads(team) if (team > 1)
    for (int64_t n = 0; n < rows; n++) {
        for (int64_t first = 0; first < size; first += block) {
            const int64_t width = size - first < block ? size - first : block;
            float of_query[block] = {}, of_vector[block] = {};
            for (int64_t s = 0; s < positions; s++) {
                const float d = grad_scores[n * positions + s];
                const T *value = squashed + n * squashed_row + s * size + first;
                const T *v = vector + first;
                float *of_key = grad_keys + (n * positions + s) * size + first;
#pragma omp simd
                for (int64_t j = 0; j < width; j++) {
                    float y = load(value[j]);
                    float inside = d * load(v[j]) * (1.0f - y * y);
                    of_query[j] += inside;
                    of_key[j] += inside;
                    of_vector[j] += d * y;
                }
            }
            for (int64_t j = 0; j < width; j++) {
                store(grad_asked[n * size + first + j], of_query[j]);
                grad_vector[n * size + first + j] += of_vector[j];
            }
        }
    }
}

} // namespace
