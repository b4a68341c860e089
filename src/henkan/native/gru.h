// The GRU with its reset gate before and after the recurrent product; equations in nn/gru.py.
#pragma once

#include "numbers.h"

namespace {

template <typename T>
void gru_gates(const Rows &rows, const T *projected, int64_t projected_stride, const T *recurrent, const T *hidden,
               int64_t hidden_stride, T *gates, int64_t gates_stride, T *reset_hidden, int64_t reset_stride) {
    each_row(rows, [&](int64_t n) {
        const T *p = projected + n * projected_stride, *u = recurrent + n * 2 * rows.size;
        const T *h = hidden + n * hidden_stride;
        T *a = gates + n * gates_stride, *rh = reset_hidden + n * reset_stride;
        const int64_t size = rows.size;
#pragma omp simd
        for (int64_t j = 0; j < size; j++) {
            float r = sigmoid(load(p[j]) + load(u[j]));
            float z = sigmoid(load(p[size + j]) + load(u[size + j]));
            store(a[j], r);
            store(a[size + j], z);
            store(rh[j], r * load(h[j]));
        }
    });
}

template <typename T>
void gru_output(const Rows &rows, const T *projected, int64_t projected_stride, const T *recurrent, const T *hidden,
                T *next_hidden, int64_t hidden_stride, T *gates, int64_t gates_stride) {
    each_row(rows, [&](int64_t n) {
        const int64_t size = rows.size;
        const T *p = projected + n * projected_stride + 2 * size, *u = recurrent + n * size;
        const T *h = hidden + n * hidden_stride;
        T *a = gates + n * gates_stride, *to = next_hidden + n * hidden_stride;
        if (!rows.real(n)) {
            std::memcpy(static_cast<void *>(to), h, sizeof(T) * static_cast<size_t>(size));
            return;
        }
#pragma omp simd
        for (int64_t j = 0; j < size; j++) {
            float z = load(a[size + j]), g = hyperbolic(load(p[j]) + load(u[j]));
            store(a[2 * size + j], g);
            store(to[j], g + z * (load(h[j]) - g));
        }
    });
}

// First half of the backward step: gradients of update and candidate; the share z * dh waits in `carry`.
template <typename T>
void gru_output_backward(const Rows &rows, const T *grad_output, int64_t grad_output_stride, const T *grad_product,
                         float *carry, const T *gates, int64_t gates_stride, const T *hidden, int64_t hidden_stride,
                         T *grad_gates) {
    each_row(rows, [&](int64_t n) {
        const int64_t size = rows.size, at = n * size;
        const T *dy = grad_output + n * grad_output_stride, *dp = grad_product + at;
        const T *a = gates + n * gates_stride, *h = hidden + n * hidden_stride;
        T *d = grad_gates + n * gates_stride;
        float *wait = carry + at;
        if (!rows.real(n)) {
            pass_gradient(size, 3, dy, dp, wait, d);
            return;
        }
#pragma omp simd
        for (int64_t j = 0; j < size; j++) {
            float z = load(a[size + j]), g = load(a[2 * size + j]);
            float dh = load(dy[j]) + load(dp[j]) + wait[j];
            store(d[size + j], dh * (load(h[j]) - g) * z * (1.0f - z));
            store(d[2 * size + j], dh * (1.0f - z) * (1.0f - g * g));
            wait[j] = dh * z;
        }
    });
}

// Second half, with the gradient of r * h: gradient of reset; the share r joins what waits.
template <typename T>
void gru_gates_backward(const Rows &rows, const T *grad_reset_hidden, float *carry, const T *gates,
                        int64_t gates_stride, const T *hidden, int64_t hidden_stride, T *grad_gates) {
    each_row(rows, [&](int64_t n) {
        const int64_t size = rows.size, at = n * size;
        const T *a = gates + n * gates_stride, *h = hidden + n * hidden_stride, *d_rh = grad_reset_hidden + at;
        T *d = grad_gates + n * gates_stride;
        float *wait = carry + at;
        if (!rows.real(n)) return;
#pragma omp simd
        for (int64_t j = 0; j < size; j++) {
            float r = load(a[j]), from = load(d_rh[j]);
            store(d[j], from * load(h[j]) * r * (1.0f - r));
            wait[j] += from * r;
        }
    });
}

template <typename T>
void reset_after_forward(const Rows &rows, const T *projected, int64_t projected_stride, const T *recurrent,
                         const T *hidden_bias, const T *hidden, T *next_hidden, int64_t hidden_stride, T *gates,
                         int64_t gates_stride) {
    each_row(rows, [&](int64_t n) {
        const int64_t size = rows.size;
        const T *p = projected + n * projected_stride, *u = recurrent + n * 3 * size;
        const T *h = hidden + n * hidden_stride;
        T *a = gates + n * gates_stride, *to = next_hidden + n * hidden_stride;
        if (!rows.real(n)) {
            std::memcpy(static_cast<void *>(to), h, sizeof(T) * static_cast<size_t>(size));
            return;
        }
#pragma omp simd
        for (int64_t j = 0; j < size; j++) {
            float r = sigmoid(load(p[j]) + load(u[j]));
            float z = sigmoid(load(p[size + j]) + load(u[size + j]));
            float asked = load(u[2 * size + j]) + load(hidden_bias[j]);
            float g = hyperbolic(load(p[2 * size + j]) + r * asked);
            store(a[j], r);
            store(a[size + j], z);
            store(a[2 * size + j], g);
            store(a[3 * size + j], asked);
            store(to[j], g + z * (load(h[j]) - g));
        }
    });
}

template <typename T>
void reset_after_backward(const Rows &rows, const T *grad_output, int64_t grad_output_stride, const T *grad_product,
                          float *carry, const T *gates, int64_t gates_stride, const T *hidden, int64_t hidden_stride,
                          T *grad_projected, T *grad_recurrent, int64_t grad_stride) {
    each_row(rows, [&](int64_t n) {
        const int64_t size = rows.size, at = n * size;
        const T *dy = grad_output + n * grad_output_stride, *dp = grad_product + at;
        const T *a = gates + n * gates_stride, *h = hidden + n * hidden_stride;
        T *d = grad_projected + n * grad_stride, *du = grad_recurrent + n * grad_stride;
        float *wait = carry + at;
        if (!rows.real(n)) {
            pass_gradient(size, 3, dy, dp, wait, d);
            std::memset(static_cast<void *>(du), 0, sizeof(T) * static_cast<size_t>(3 * size));
            return;
        }
#pragma omp simd
        for (int64_t j = 0; j < size; j++) {
            float r = load(a[j]), z = load(a[size + j]), g = load(a[2 * size + j]), asked = load(a[3 * size + j]);
            float dh = load(dy[j]) + load(dp[j]) + wait[j];
            float d_candidate = dh * (1.0f - z) * (1.0f - g * g);
            float d_reset = d_candidate * asked * r * (1.0f - r);
            float d_update = dh * (load(h[j]) - g) * z * (1.0f - z);
            store(d[j], d_reset);
            store(d[size + j], d_update);
            store(d[2 * size + j], d_candidate);
            store(du[j], d_reset);
            store(du[size + j], d_update);
            store(du[2 * size + j], d_candidate * r);
            wait[j] = dh * z;
        }
    });
}

} // namespace
