// The pointwise halves of recurrent steps, forward and backward: everything between two matrix products in one pass.
// The plain twins, which are the specification, are in nn/pointwise.py; a test holds the two together.
//
// Rows are examples. A row stride comes with every buffer that may be a slice of a longer one. States of the carousel
// and gradients that run from step to step are float; all else has the type of the weights, float or bf16.
// `mask` (one byte a row) is 0 at padding: there the state passes through unchanged, and so does its gradient.

#include <cstdint>
#include <cstring>

namespace {

struct bf16 {
    uint16_t bits;
};

inline float load(float x) { return x; }

inline float load(bf16 x) {
    uint32_t wide = static_cast<uint32_t>(x.bits) << 16;
    float value;
    std::memcpy(&value, &wide, 4);
    return value;
}

inline void store(float &place, float value) { place = value; }

// Round to nearest, ties to even; a NaN stays one because its upper half is kept and made quiet.
inline void store(bf16 &place, float value) {
    uint32_t wide;
    std::memcpy(&wide, &value, 4);
    uint32_t rounded = (wide + 0x7FFFu + ((wide >> 16) & 1u)) >> 16;
    uint32_t quiet = (wide >> 16) | 0x40u;
    place.bits = static_cast<uint16_t>((wide & 0x7FFFFFFFu) > 0x7F800000u ? quiet : rounded);
}

// exp by 2^n times a polynomial on [-ln 2 / 2, ln 2 / 2]; within 2 units in the last place, and the compiler can
// vectorise it. A NaN passes every comparison unchanged.
inline float exponential(float x) {
    x = x < -87.0f ? -87.0f : x;
    x = x > 87.0f ? 87.0f : x;
    float n = __builtin_rintf(x * 1.44269504f);
    float r = x - n * 0.693145752f - n * 1.42860677e-6f;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.0f;
    int32_t scale = (static_cast<int32_t>(n) + 127) << 23;
    float power;
    std::memcpy(&power, &scale, 4);
    return p * power;
}

inline float sigmoid(float x) { return 1.0f / (1.0f + exponential(-x)); }

inline float hyperbolic(float x) { return 1.0f - 2.0f / (exponential(2.0f * x) + 1.0f); }

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

// At padding nothing enters: gradients of the gates are zero and that of the output waits in `carry`.
template <typename T>
void pass_gradient(int64_t size, int64_t gates, const T *grad_output, const T *grad_product, float *carry,
                   T *grad_gates) {
    for (int64_t j = 0; j < size; j++) carry[j] += load(grad_output[j]) + load(grad_product[j]);
    std::memset(static_cast<void *>(grad_gates), 0, sizeof(T) * static_cast<size_t>(gates * size));
}

struct Rows {
    int64_t rows, size;
    int64_t threads;
    const uint8_t *mask;
    int64_t mask_stride;
    bool real(int64_t n) const { return mask == nullptr || mask[n * mask_stride] != 0; }
};

template <typename Body> void each_row(const Rows &rows, Body body) {
    // Waking a thread costs some microseconds: not for less work than that.
    const int threads = rows.rows * rows.size < 4096 ? 1 : static_cast<int>(rows.threads);
#pragma omp parallel for num_threads(threads) if (threads > 1)
    for (int64_t n = 0; n < rows.rows; n++) body(n);
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

#define ROWS int64_t rows, int64_t size, int64_t threads, const uint8_t *mask, int64_t mask_stride
#define GIVEN                                                                                                         \
    Rows { rows, size, threads, mask, mask_stride }

// One function for each type; `variant` is 2 * forgetting + peephole for the LSTM, 1 for a ReLU.
#define EXPORT(T, NAME)                                                                                               \
    extern "C" void henkan_lstm_forward_##NAME(                                                                       \
        ROWS, int64_t variant, const T *projected, int64_t projected_stride, const T *recurrent, const float *peepholes,  \
        const float *cell, int64_t cell_stride, const T *hidden, int64_t hidden_stride, float *next_cell,             \
        T *next_hidden, T *gates, int64_t gates_stride) {                                                             \
        auto body = variant == 0   ? lstm_forward<T, GATE, false>                                                     \
                    : variant == 1 ? lstm_forward<T, GATE, true>                                                      \
                    : variant == 2 ? lstm_forward<T, COUPLED, false>                                                  \
                    : variant == 3 ? lstm_forward<T, COUPLED, true>                                                   \
                    : variant == 4 ? lstm_forward<T, NONE, false>                                                     \
                                   : lstm_forward<T, NONE, true>;                                                     \
        body(GIVEN, projected, projected_stride, recurrent, peepholes, cell, cell_stride, hidden, hidden_stride,      \
             next_cell, next_hidden, gates, gates_stride);                                                            \
    }                                                                                                                 \
    extern "C" void henkan_lstm_backward_##NAME(                                                                      \
        ROWS, int64_t variant, const T *grad_output, int64_t grad_output_stride, const T *grad_product, float *carry,     \
        float *grad_cell, const T *gates, int64_t gates_stride, const float *peepholes, const float *cell,            \
        const float *next_cell, int64_t cell_stride, T *grad_gates) {                                                 \
        auto body = variant == 0   ? lstm_backward<T, GATE, false>                                                    \
                    : variant == 1 ? lstm_backward<T, GATE, true>                                                     \
                    : variant == 2 ? lstm_backward<T, COUPLED, false>                                                 \
                    : variant == 3 ? lstm_backward<T, COUPLED, true>                                                  \
                    : variant == 4 ? lstm_backward<T, NONE, false>                                                    \
                                   : lstm_backward<T, NONE, true>;                                                    \
        body(GIVEN, grad_output, grad_output_stride, grad_product, carry, grad_cell, gates, gates_stride, peepholes,  \
             cell, next_cell, cell_stride, grad_gates);                                                               \
    }                                                                                                                 \
    extern "C" void henkan_peephole_gradient_##NAME(ROWS, int64_t steps, const T *grad_gate, int64_t gate_row,          \
                                                    int64_t gate_step, const float *cell, int64_t cell_row,           \
                                                    int64_t cell_step, float *sums) {                                 \
        (void)mask, (void)mask_stride;                                                                                \
        peephole_gradient<T>(rows, size, threads, steps, grad_gate, gate_row, gate_step, cell, cell_row, cell_step,   \
                             sums);                                                                                   \
    }                                                                                                                 \
    extern "C" void henkan_additive_forward_##NAME(ROWS, int64_t positions, const T *asked, const T *keys,             \
                                                   const T *vector, T *squashed, int64_t squashed_row,                \
                                                   float *scores) {                                                   \
        (void)mask, (void)mask_stride;                                                                                \
        additive_forward<T>(rows, size, threads, positions, asked, keys, vector, squashed, squashed_row, scores);     \
    }                                                                                                                 \
    extern "C" void henkan_additive_backward_##NAME(ROWS, int64_t positions, const float *grad_scores,                \
                                                    const T *squashed, int64_t squashed_row, const T *vector,         \
                                                    T *grad_asked, float *grad_keys, float *grad_vector) {            \
        (void)mask, (void)mask_stride;                                                                                \
        additive_backward<T>(rows, size, threads, positions, grad_scores, squashed, squashed_row, vector, grad_asked, \
                             grad_keys, grad_vector);                                                                 \
    }                                                                                                                 \
    extern "C" void henkan_gru_gates_##NAME(ROWS, const T *projected, int64_t projected_stride, const T *recurrent,   \
                                            const T *hidden, int64_t hidden_stride, T *gates, int64_t gates_stride,   \
                                            T *reset_hidden, int64_t reset_stride) {                                  \
        gru_gates<T>(GIVEN, projected, projected_stride, recurrent, hidden, hidden_stride, gates, gates_stride,       \
                     reset_hidden, reset_stride);                                                                     \
    }                                                                                                                 \
    extern "C" void henkan_gru_output_##NAME(ROWS, const T *projected, int64_t projected_stride, const T *recurrent,  \
                                             const T *hidden, T *next_hidden, int64_t hidden_stride, T *gates,        \
                                             int64_t gates_stride) {                                                  \
        gru_output<T>(GIVEN, projected, projected_stride, recurrent, hidden, next_hidden, hidden_stride, gates,       \
                      gates_stride);                                                                                  \
    }                                                                                                                 \
    extern "C" void henkan_gru_output_backward_##NAME(                                                                \
        ROWS, const T *grad_output, int64_t grad_output_stride, const T *grad_product, float *carry, const T *gates,  \
        int64_t gates_stride, const T *hidden, int64_t hidden_stride, T *grad_gates) {                                \
        gru_output_backward<T>(GIVEN, grad_output, grad_output_stride, grad_product, carry, gates, gates_stride,      \
                               hidden, hidden_stride, grad_gates);                                                    \
    }                                                                                                                 \
    extern "C" void henkan_gru_gates_backward_##NAME(ROWS, const T *grad_reset_hidden, float *carry, const T *gates,  \
                                                     int64_t gates_stride, const T *hidden, int64_t hidden_stride,    \
                                                     T *grad_gates) {                                                 \
        gru_gates_backward<T>(GIVEN, grad_reset_hidden, carry, gates, gates_stride, hidden, hidden_stride,            \
                              grad_gates);                                                                            \
    }                                                                                                                 \
    extern "C" void henkan_reset_after_forward_##NAME(                                                                \
        ROWS, const T *projected, int64_t projected_stride, const T *recurrent, const T *hidden_bias,                 \
        const T *hidden, T *next_hidden, int64_t hidden_stride, T *gates, int64_t gates_stride) {                     \
        reset_after_forward<T>(GIVEN, projected, projected_stride, recurrent, hidden_bias, hidden, next_hidden,       \
                               hidden_stride, gates, gates_stride);                                                   \
    }                                                                                                                 \
    extern "C" void henkan_reset_after_backward_##NAME(                                                               \
        ROWS, const T *grad_output, int64_t grad_output_stride, const T *grad_product, float *carry, const T *gates,  \
        int64_t gates_stride, const T *hidden, int64_t hidden_stride, T *grad_projected, T *grad_recurrent,           \
        int64_t grad_stride) {                                                                                        \
        reset_after_backward<T>(GIVEN, grad_output, grad_output_stride, grad_product, carry, gates, gates_stride,     \
                                hidden, hidden_stride, grad_projected, grad_recurrent, grad_stride);                  \
    }                                                                                                                 \
    extern "C" void henkan_rnn_forward_##NAME(ROWS, int64_t variant, const T *projected, int64_t projected_stride,        \
                                              const T *recurrent, const T *hidden, T *next_hidden,                    \
                                              int64_t hidden_stride) {                                                \
        (variant ? rnn_forward<T, true> : rnn_forward<T, false>)(GIVEN, projected, projected_stride, recurrent,       \
                                                                 hidden, next_hidden, hidden_stride);                 \
    }                                                                                                                 \
    extern "C" void henkan_rnn_backward_##NAME(ROWS, int64_t variant, const T *grad_output, int64_t grad_output_stride,   \
                                               const T *grad_product, float *carry, const T *next_hidden,             \
                                               int64_t hidden_stride, T *grad_gates, int64_t grad_stride) {           \
        (variant ? rnn_backward<T, true> : rnn_backward<T, false>)(GIVEN, grad_output, grad_output_stride,            \
                                                                   grad_product, carry, next_hidden, hidden_stride,   \
                                                                   grad_gates, grad_stride);                          \
    }

EXPORT(float, float32)
EXPORT(bf16, bfloat16)
