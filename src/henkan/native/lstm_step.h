// A step of an LSTM with packed weights, for outputs alone.
#pragma once

#include "lstm.h"
#include "product.h"

namespace {

// As nn/packed_lstm.py fills it in: every field is 64 bits wide.
struct PackedCell {
    int64_t size, forgetting;
    const float *peepholes; // null: none
    Matrix inputs, recurrent;
    int64_t gates() const { return (forgetting == GATE ? 4 : 3) * size; }
};

template <int forgetting>
void step_row(const PackedCell &cell, float *gates, const float *recurrent, const float *before, float *after,
              float *hidden) {
    if (cell.peepholes == nullptr)
        lstm_forward_row<float, forgetting, false>(cell.size, gates, recurrent, nullptr, before, after, hidden, gates);
    else
        lstm_forward_row<float, forgetting, true>(cell.size, gates, recurrent, cell.peepholes, before, after, hidden,
                                                  gates);
}

// One row: the inputs' share of the gates, which is spent, and the past's; the carousel before and after.
inline void step_row(const PackedCell &cell, float *gates, const float *recurrent, const float *before, float *after,
                     float *hidden) {
    switch (cell.forgetting) {
    case GATE: step_row<GATE>(cell, gates, recurrent, before, after, hidden); break;
    case COUPLED: step_row<COUPLED>(cell, gates, recurrent, before, after, hidden); break;
    default: step_row<NONE>(cell, gates, recurrent, before, after, hidden); break;
    }
}

} // namespace
