// The LSTM in all its generations; equations in nn/lstm.py.
#pragma once

#include "numbers.h"

namespace {

enum Forgetting { GATE = 0, COUPLED = 1, NONE = 2 };

template <typename T, int forgetting, bool peephole>
void lstm_forward_row(int64_t size, const T *projected, const T *recurrent, const float *peepholes,
                      const float *cell, float *next_cell, T *next_hidden, T *gates) {
    constexpr int forget = forgetting == GATE ? 1 : 0;
    const int64_t at_cell = (1 + forget) * size, at_output = (2 + forget) * size;
#pragma omp simd
    for (int64_t j = 0; j < size; j++) {
        float i = load(projected[j]) + load(recurrent[j]);
        float g = load(projected[at_cell + j]) + load(recurrent[at_cell + j]);
        float o = load(projected[at_output + j]) + load(recurrent[at_output + j]);
        float c = cell[j];
        if (peephole) i += peepholes[j] * c;
        i = sigmoid(i);
        g = hyperbolic(g);
        float f = 1.0f;
        if (forgetting == GATE) {
            f = load(projected[size + j]) + load(recurrent[size + j]);
            if (peephole) f += peepholes[size + j] * c;
            f = sigmoid(f);
            store(gates[size + j], f);
        }
        if (forgetting == COUPLED) f = 1.0f - i;
        float next = f * c + i * g;
        if (peephole) o += peepholes[(1 + forget) * size + j] * next;
        o = sigmoid(o);
        next_cell[j] = next;
        store(next_hidden[j], o * hyperbolic(next));
        store(gates[j], i);
        store(gates[at_cell + j], g);
        store(gates[at_output + j], o);
    }
}

template <typename T, int forgetting, bool peephole>
void lstm_backward_row(int64_t size, const T *grad_output, const T *grad_product, float *carry, float *grad_cell,
                       const T *gates, const float *peepholes, const float *cell, const float *next_cell,
                       T *grad_gates) {
    constexpr int forget = forgetting == GATE ? 1 : 0;
    const int64_t at_cell = (1 + forget) * size, at_output = (2 + forget) * size;
#pragma omp simd
    for (int64_t j = 0; j < size; j++) {
        float i = load(gates[j]), g = load(gates[at_cell + j]), o = load(gates[at_output + j]);
        float squashed = hyperbolic(next_cell[j]);
        float dh = load(grad_output[j]) + load(grad_product[j]) + carry[j];
        float d_output = dh * squashed * o * (1.0f - o);
        float dc = grad_cell[j] + dh * o * (1.0f - squashed * squashed);
        if (peephole) dc += d_output * peepholes[(1 + forget) * size + j];
        float d_input = dc * g;
        float kept = dc;
        if (forgetting == GATE) {
            float f = load(gates[size + j]);
            float d_forget = dc * cell[j] * f * (1.0f - f);
            store(grad_gates[size + j], d_forget);
            kept = dc * f;
            if (peephole) kept += d_forget * peepholes[size + j];
        }
        if (forgetting == COUPLED) {
            d_input -= dc * cell[j];
            kept = dc * (1.0f - i);
        }
        d_input *= i * (1.0f - i);
        if (peephole) kept += d_input * peepholes[j];
        store(grad_gates[j], d_input);
        store(grad_gates[at_cell + j], dc * i * (1.0f - g * g));
        store(grad_gates[at_output + j], d_output);
        grad_cell[j] = kept;
        carry[j] = 0.0f;
    }
}

template <typename T, int forgetting, bool peephole>
void lstm_forward(const Rows &rows, const T *projected, int64_t projected_stride, const T *recurrent,
                  const float *peepholes, const float *cell, int64_t cell_stride, const T *hidden,
                  int64_t hidden_stride, float *next_cell, T *next_hidden, T *gates, int64_t gates_stride) {
    each_row(rows, [&](int64_t n) {
        const int64_t count = forgetting == GATE ? 4 : 3;
        float *to_cell = next_cell + n * cell_stride;
        T *to_hidden = next_hidden + n * hidden_stride;
        if (rows.real(n)) {
            lstm_forward_row<T, forgetting, peephole>(
                rows.size, projected + n * projected_stride, recurrent + n * count * rows.size, peepholes,
                cell + n * cell_stride, to_cell, to_hidden, gates + n * gates_stride);
        } else {
            std::memcpy(to_cell, cell + n * cell_stride, sizeof(float) * static_cast<size_t>(rows.size));
            std::memcpy(static_cast<void *>(to_hidden), hidden + n * hidden_stride,
                        sizeof(T) * static_cast<size_t>(rows.size));
        }
    });
}

template <typename T, int forgetting, bool peephole>
void lstm_backward(const Rows &rows, const T *grad_output, int64_t grad_output_stride, const T *grad_product,
                   float *carry, float *grad_cell, const T *gates, int64_t gates_stride, const float *peepholes,
                   const float *cell, const float *next_cell, int64_t cell_stride, T *grad_gates) {
    each_row(rows, [&](int64_t n) {
        const int64_t count = forgetting == GATE ? 4 : 3, at = n * rows.size;
        const T *output = grad_output + n * grad_output_stride;
        if (rows.real(n)) {
            lstm_backward_row<T, forgetting, peephole>(
                rows.size, output, grad_product + at, carry + at, grad_cell + at, gates + n * gates_stride, peepholes,
                cell + n * cell_stride, next_cell + n * cell_stride, grad_gates + n * gates_stride);
        } else {
            pass_gradient(rows.size, count, output, grad_product + at, carry + at, grad_gates + n * gates_stride);
        }
    });
}

// Gradient of one peephole: the sum over rows and steps of (gradient of the gate) * (what the peephole saw).
template <typename T>
void peephole_gradient(int64_t rows, int64_t size, int64_t threads, int64_t steps, const T *grad_gate,
                       int64_t gate_row, int64_t gate_step, const float *cell, int64_t cell_row, int64_t cell_step,
                       float *sums) {
    constexpr int64_t block = 64;
#pragma omp parallel for num_threads(static_cast<int>(threads)) if (rows * steps * size > 65536)
    for (int64_t first = 0; first < size; first += block) {
        const int64_t width = size - first < block ? size - first : block;
        float sum[block] = {};
        for (int64_t n = 0; n < rows; n++) {
            for (int64_t t = 0; t < steps; t++) {
                const T *d = grad_gate + n * gate_row + t * gate_step + first;
                const float *c = cell + n * cell_row + t * cell_step + first;
#pragma omp simd
                for (int64_t j = 0; j < width; j++) sum[j] += load(d[j]) * c[j];
            }
        }
        for (int64_t j = 0; j < width; j++) sums[first + j] = sum[j];
    }
}

} // namespace
