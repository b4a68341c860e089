// The sublayers of a Transformer for some rows at a time, each with its residual (nn/transformer.py and beside it).
// The structs are laid out as nn/packed_transformer.py fills them in: every field is 64 bits wide.
#pragma once

#include "best.h"
#include "product.h"

namespace {

struct Norm {
    const float *weight, *bias; // null: no norm
    double epsilon;
};

struct Residual {
    Norm before, after;
};

struct SelfAttention {
    Residual around;
    Matrix inputs, output;
};

struct SourceAttention {
    Residual around;
    Matrix query, output;
};

struct FeedForward {
    Residual around;
    Matrix inner, outer;
    int64_t activation; // 0 ReLU, 1 GELU, 2 SiLU
};

__attribute__((noinline)) inline void normalise(const Norm &norm, const float *x, int64_t width, float *out) {
    if (norm.weight == nullptr) {
        if (out != x) std::memcpy(out, x, sizeof(float) * static_cast<size_t>(width));
        return;
    }
    float sum = 0.0f, squares = 0.0f;
#pragma omp simd reduction(+ : sum)
    for (int64_t j = 0; j < width; j++) sum += x[j];
    const float mean = sum / static_cast<float>(width);
#pragma omp simd reduction(+ : squares)
    for (int64_t j = 0; j < width; j++) squares += (x[j] - mean) * (x[j] - mean);
    const float variance = squares / static_cast<float>(width) + static_cast<float>(norm.epsilon);
    const float rate = 1.0f / __builtin_sqrtf(variance);
#pragma omp simd
    for (int64_t j = 0; j < width; j++) out[j] = (x[j] - mean) * rate * norm.weight[j] + norm.bias[j];
}

inline float total(const Floats &values) {
#ifdef __AVX512F__
    return _mm512_reduce_add_ps((__m512)values);
#else
    float found = 0.0f;
    for (int64_t j = 0; j < LANES; j++) found += values[j];
    return found;
#endif
}

// What a query may see: each place holds keys of all heads, one behind the other, and values of all heads.
struct Seen {
    int64_t count;
    const float *const *places;
    int64_t keys, values; // where they begin in a place

    // Numbers j..j + 16 N of q . k, added to the scores.
    template <int N> void compare(const float *query, int64_t j, float *scores) const {
        Floats q[N];
        std::memcpy(q, query + j, sizeof q);
        for (int64_t s = 0; s < count; s++) {
            const float *key = places[s] + keys + j;
            Floats sums = q[0] * floats(key);
#pragma GCC unroll 4
            for (int v = 1; v < N; v++) sums += q[v] * floats(key + v * LANES);
            scores[s] += total(sums);
        }
    }

    // Numbers j..j + 16 N of the sum of values by their weights.
    template <int N> void mix(const float *weights, int64_t j, float *context) const {
        Floats sums[N] = {};
        for (int64_t s = 0; s < count; s++)
#pragma GCC unroll 4
            for (int v = 0; v < N; v++) sums[v] += weights[s] * floats(places[s] + values + j + v * LANES);
        std::memcpy(context + j, sums, sizeof sums);
    }
};

// softmax(q . k / sqrt(size)) v, head by head; zeros where nothing is seen. `scores` holds heads * count numbers.
__attribute__((noinline)) inline void attend_one(const float *query, int64_t heads, int64_t size, const Seen &seen,
                                          float *scores, float *context) {
    const float scale = 1.0f / __builtin_sqrtf(static_cast<float>(size));
    const int64_t count = seen.count;
    if (count == 0) {
        std::memset(context, 0, sizeof(float) * static_cast<size_t>(heads * size));
        return;
    }
    std::memset(scores, 0, sizeof(float) * static_cast<size_t>(heads * count));
    for (int64_t h = 0; h < heads; h++) {
        float *own = scores + h * count;
        int64_t j = h * size;
        const int64_t end = j + size;
        for (; j + 4 * LANES <= end; j += 4 * LANES) seen.compare<4>(query, j, own);
        for (; j + LANES <= end; j += LANES) seen.compare<1>(query, j, own);
        for (; j < end; j++)
            for (int64_t s = 0; s < count; s++) own[s] += query[j] * seen.places[s][seen.keys + j];
        const float top = largest(own, count);
        for (int64_t s = 0; s < count; s++) own[s] = (own[s] - top) * scale;
    }
#pragma omp simd
    for (int64_t i = 0; i < heads * count; i++) scores[i] = exponential(scores[i]);
    for (int64_t h = 0; h < heads; h++) {
        float *own = scores + h * count, sum = 0.0f;
        for (int64_t s = 0; s < count; s++) sum += own[s];
        const float share = 1.0f / sum;
        for (int64_t s = 0; s < count; s++) own[s] *= share;
        int64_t j = h * size;
        const int64_t end = j + size;
        for (; j + 4 * LANES <= end; j += 4 * LANES) seen.mix<4>(own, j, context);
        for (; j + LANES <= end; j += LANES) seen.mix<1>(own, j, context);
        for (; j < end; j++) {
            context[j] = 0.0f;
            for (int64_t s = 0; s < count; s++) context[j] += own[s] * seen.places[s][seen.values + j];
        }
    }
}

__attribute__((noinline)) inline void activate(int64_t kind, float *values, int64_t count) {
    if (kind == 0) {
#pragma omp simd
        for (int64_t i = 0; i < count; i++) values[i] = values[i] < 0.0f ? 0.0f : values[i];
    } else if (kind == 1) {
        for (int64_t i = 0; i < count; i++) values[i] *= 0.5f * (1.0f + __builtin_erff(values[i] * 0.70710678f));
    } else {
#pragma omp simd
        for (int64_t i = 0; i < count; i++) values[i] *= 1.0f / (1.0f + exponential(-values[i]));
    }
}

// Some rows on their way up through the layers, and the memory that this takes.
template <class Kind> class Ascent {
    Scratch &scratch;

    // x = after(x + W y + b)
    void join(const Matrix &matrix, const Narrow &inputs, const Norm &after) {
        multiply<Kind>(matrix, inputs, rows, 0, panels(matrix), [&](int64_t row, int64_t column, const Floats *values) {
            put(x + row * width, column, width, values, sum);
        });
        if (after.weight != nullptr)
            for (int64_t n = 0; n < rows; n++) normalise(after, x + n * width, width, x + n * width);
    }

    Narrow narrow(const float *y, int64_t inputs) {
        return narrowed<Kind>(scratch, rows, inputs, [&](int64_t n) { return y + n * inputs; });
    }

    const float *normalised(const Norm &norm) {
        if (norm.weight == nullptr) return x;
        float *y = scratch.take<float>(rows * width);
        for (int64_t n = 0; n < rows; n++) normalise(norm, x + n * width, width, y + n * width);
        return y;
    }

  public:
    const int64_t rows, width;
    float *x; // (rows, width)

    Ascent(Scratch &memory, int64_t rows_, int64_t width_, float *x_)
        : scratch(memory), rows(rows_), width(width_), x(x_) {}

    // `inside(projected, contexts)`: queries, keys and values (rows, 3 width) to contexts (rows, width).
    template <class Inside> void attend_self(const SelfAttention &part, Inside inside) {
        scratch.clear();
        const Narrow narrow_x = narrow(normalised(part.around.before), width);
        const float *projected = outputs<Kind>(scratch, part.inputs, narrow_x, rows);
        float *contexts = scratch.take<float>(rows * width);
        inside(projected, contexts);
        join(part.output, narrow(contexts, width), part.around.after);
    }

    // `inside(queries, contexts)`, both (rows, width); who asks is copied to `asking` where that is not null.
    template <class Inside> void attend_source(const SourceAttention &part, float *asking, Inside inside) {
        scratch.clear();
        const float *y = normalised(part.around.before);
        if (asking != nullptr) std::memcpy(asking, y, sizeof(float) * static_cast<size_t>(rows * width));
        const float *queries = outputs<Kind>(scratch, part.query, narrow(y, width), rows);
        float *contexts = scratch.take<float>(rows * width);
        inside(queries, contexts);
        join(part.output, narrow(contexts, width), part.around.after);
    }

    void feed_forward(const FeedForward &part) {
        scratch.clear();
        const Narrow narrow_x = narrow(normalised(part.around.before), width);
        float *inner = outputs<Kind>(scratch, part.inner, narrow_x, rows);
        activate(part.activation, inner, rows * part.inner.outputs);
        join(part.outer, narrow(inner, part.inner.outputs), part.around.after);
    }
};

} // namespace
