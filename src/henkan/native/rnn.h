// The simple recurrent network; equation in nn/rnn.py.
#pragma once

#include "numbers.h"

namespace {

template <typename T, bool relu>
void rnn_forward(const Rows &rows, const T *projected, int64_t projected_stride, const T *recurrent, const T *hidden,
                 T *next_hidden, int64_t hidden_stride) {
    each_row(rows, [&](int64_t n) {
        const int64_t size = rows.size;
        const T *p = projected + n * projected_stride, *u = recurrent + n * size, *h = hidden + n * hidden_stride;
        T *to = next_hidden + n * hidden_stride;
        if (!rows.real(n)) {
            std::memcpy(static_cast<void *>(to), h, sizeof(T) * static_cast<size_t>(size));
            return;
        }
#pragma omp simd
        for (int64_t j = 0; j < size; j++) {
            float x = load(p[j]) + load(u[j]);
            store(to[j], relu ? (x < 0.0f ? 0.0f : x) : hyperbolic(x));
        }
    });
}

template <typename T, bool relu>
void rnn_backward(const Rows &rows, const T *grad_output, int64_t grad_output_stride, const T *grad_product,
                  float *carry, const T *next_hidden, int64_t hidden_stride, T *grad_gates, int64_t grad_stride) {
    each_row(rows, [&](int64_t n) {
        const int64_t size = rows.size, at = n * size;
        const T *dy = grad_output + n * grad_output_stride, *dp = grad_product + at;
        const T *y = next_hidden + n * hidden_stride;
        T *d = grad_gates + n * grad_stride;
        float *wait = carry + at;
        if (!rows.real(n)) {
            pass_gradient(size, 1, dy, dp, wait, d);
            return;
        }
#pragma omp simd
        for (int64_t j = 0; j < size; j++) {
            float h = load(y[j]), dh = load(dy[j]) + load(dp[j]) + wait[j];
            store(d[j], relu ? (h > 0.0f ? dh : 0.0f) : dh * (1.0f - h * h));
            wait[j] = 0.0f;
        }
    });
}

} // namespace
