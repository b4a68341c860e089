// The pointwise halves of recurrent steps, forward and backward: everything between two matrix products in one pass.
// The plain twins, which are the specification, are in nn/pointwise.py; a test holds the two together.
//
// Rows are examples. A row stride comes with every buffer that may be a slice of a longer one. States of the carousel
// and gradients that run from step to step are float; all else has the type of the weights, float or bf16.
// `mask` (one byte a row) is 0 at padding: there the state passes through unchanged, and so does its gradient.

#include "attention.h"
#include "gru.h"
#include "lstm.h"
#include "rnn.h"

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
