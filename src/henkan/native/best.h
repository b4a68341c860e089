// The best of a row of numbers, and the sum of all their powers, read once in blocks.
#pragma once

#include "numbers.h"

namespace {

inline float largest(const float *values, int64_t count) {
    float found = values[0];
#pragma omp simd reduction(max : found)
    for (int64_t i = 0; i < count; i++) found = values[i] > found ? values[i] : found;
    return found;
}

// The k best of a row, best first, the first of equals first; `best` and `ids` hold k numbers.
struct Best {
    int64_t k;
    float *best;
    int64_t *ids;
    void clear() {
        for (int64_t i = 0; i < k; i++) best[i] = -__builtin_inff(), ids[i] = i;
    }
    float least() const { return best[k - 1]; }
    void offer(float value, int64_t id) {
        if (!(value > least())) return;
        int64_t place = k - 1;
        for (; place > 0 && value > best[place - 1]; place--) best[place] = best[place - 1], ids[place] = ids[place - 1];
        best[place] = value, ids[place] = id;
    }
};

// A sum of powers over the largest number so far; the normaliser is its logarithm.
struct Powers {
    float highest = -3.0e38f, total = 0.0f;
    void add(const float *values, int64_t count, float top_here) {
        if (top_here > highest) {
            total *= exponential(highest - top_here);
            highest = top_here;
        }
        float sum = 0.0f;
#pragma omp simd reduction(+ : sum)
        for (int64_t j = 0; j < count; j++) sum += exponential(values[j] - highest);
        total += sum;
    }
    float normaliser() const { return highest + __builtin_logf(total); }
};

// Where numbers of a row, W h + b, are rounded: the best of them are made again. A null weight: nothing is.
struct Again {
    int64_t inputs;
    const float *hidden, *weight, *bias; // (inputs), (outputs, inputs), (outputs) or null
    float operator()(int64_t id) const {
        const float *w = weight + id * inputs;
        float sum = 0.0f;
#pragma omp simd reduction(+ : sum)
        for (int64_t j = 0; j < inputs; j++) sum += hidden[j] * w[j];
        return bias == nullptr ? sum : sum + bias[id];
    }
};

// The best of `rounded` to `found`, made again, and the normaliser with them in place of the rounded ones. `total`:
// the sum of all rounded powers over `highest`. What `rounded` holds is spent.
inline float offer_again(const Best &rounded, const Again &exact, float highest, float total, Best &found) {
    float others = total, top = highest;
    for (int64_t i = 0; i < rounded.k; i++) {
        float &value = rounded.best[i];
        if (value == -__builtin_inff()) continue; // fewer numbers than places: its id belongs to another one
        others -= exponential(value - highest);
        value = exact(rounded.ids[i]);
        top = value > top ? value : top;
        found.offer(value, rounded.ids[i]);
    }
    others = others < 0.0f ? 0.0f : others; // a difference of sums; no probability may become larger than 1
    float sum = others * exponential(highest - top);
    for (int64_t i = 0; i < rounded.k; i++)
        if (rounded.best[i] != -__builtin_inff()) sum += exponential(rounded.best[i] - top);
    return top + __builtin_logf(sum);
}

// A block of a row: looked through only where its largest is among the best.
__attribute__((noinline)) inline void read_block(const float *values, int64_t count, int64_t first, Powers &powers, Best &found) {
    const float top_here = largest(values, count);
    powers.add(values, count, top_here);
    if (top_here > found.least())
        for (int64_t j = 0; j < count; j++) found.offer(values[j], first + j);
}

} // namespace
