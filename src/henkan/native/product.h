// x W^T + b for a W that never changes, laid out for the processor once.
//
// Both factors are read as words of four bytes: one float32, two bf16 or four bytes of whole numbers. A word of a row of
// x meets the words of 64 rows of W that lie side by side: one instruction multiplies and adds 16 of them. So the three
// kinds of product differ in that instruction alone, and in how a row of x is made narrow.
//
// Whole numbers: a row of W is q s with q in -127..127 and s its largest absolute value / 127; a row of x is treated the
// same when it comes. The instruction multiplies a signed byte with an unsigned one, so W is kept as q + 128, and 128
// times the sum of x's bytes is taken away in the end. Sums are exact in 32 bits for up to 131,000 inputs.
#pragma once

#include "numbers.h"

#include <vector>

#ifdef __AVX512F__
#include <immintrin.h>
#endif

namespace {

constexpr int64_t LANES = 16, VECTORS = 4, PANEL = LANES * VECTORS;

typedef float Floats __attribute__((vector_size(64), may_alias));
typedef int32_t Integers __attribute__((vector_size(64)));

inline Floats floats(const float *from) {
    Floats found;
    std::memcpy(&found, from, sizeof found);
    return found;
}

inline int64_t up(int64_t count, int64_t to) { return (count + to - 1) / to * to; }

// One W (outputs, inputs), as Python lays it out; every field is 64 bits wide there.
struct Matrix {
    int64_t inputs, outputs;
    const uint32_t *words; // (panels, words of a row, PANEL)
    const float *scales;   // (panels * PANEL) of whole numbers, otherwise null
    const float *bias;     // (panels * PANEL), zeros where there is none
};

// Rows of x made narrow.
struct Narrow {
    int64_t words; // of a row
    uint32_t *at;  // (rows, words)
    float *scales; // (rows) of whole numbers
    int32_t *sums; // (rows) 128 times the sum of a row's bytes
};

struct Float32 {
    static constexpr int64_t depth = 1;
    typedef Floats Sums;
    static void add(Sums &sums, const uint32_t *weights, uint32_t word) {
        Floats w;
        float x;
        std::memcpy(&w, weights, sizeof w);
        std::memcpy(&x, &word, sizeof x);
        sums += w * x;
    }
    static Floats finish(const Sums &sums, const Matrix &, const Narrow &, int64_t, int64_t) { return sums; }
    static void narrow(const float *x, int64_t inputs, const Narrow &into, int64_t row) {
        std::memcpy(into.at + row * into.words, x, sizeof(float) * static_cast<size_t>(inputs));
    }
};

#ifdef __AVX512BF16__
struct Bfloat16 {
    static constexpr int64_t depth = 2;
    typedef Floats Sums;
    static void add(Sums &sums, const uint32_t *weights, uint32_t word) {
        sums = (Floats)_mm512_dpbf16_ps((__m512)sums, (__m512bh)_mm512_loadu_si512(weights),
                                        (__m512bh)_mm512_set1_epi32(static_cast<int>(word)));
    }
    static Floats finish(const Sums &sums, const Matrix &, const Narrow &, int64_t, int64_t) { return sums; }
    static void narrow(const float *x, int64_t inputs, const Narrow &into, int64_t row) {
        bf16 *place = reinterpret_cast<bf16 *>(into.at + row * into.words);
        int64_t j = 0;
        for (; j + LANES <= inputs; j += LANES)
            _mm256_storeu_si256(reinterpret_cast<__m256i *>(place + j),
                                (__m256i)_mm512_cvtneps_pbh(_mm512_loadu_ps(x + j)));
        for (; j < inputs; j++) store(place[j], x[j]);
        if (inputs % depth) place[inputs].bits = 0;
    }
};
#endif

#ifdef __AVX512VNNI__
struct Int8 {
    static constexpr int64_t depth = 4;
    typedef Integers Sums;
    static void add(Sums &sums, const uint32_t *weights, uint32_t word) {
        sums = (Integers)_mm512_dpbusd_epi32((__m512i)sums, _mm512_loadu_si512(weights),
                                             _mm512_set1_epi32(static_cast<int>(word)));
    }
    static Floats finish(const Sums &sums, const Matrix &matrix, const Narrow &x, int64_t row, int64_t column) {
        const Floats exact = __builtin_convertvector(sums - x.sums[row], Floats);
        return exact * (floats(matrix.scales + column) * x.scales[row]);
    }
    static void narrow(const float *x, int64_t inputs, const Narrow &into, int64_t row) {
        float largest = 0.0f, nothing = 0.0f; // nothing: not a number where x is not
#pragma omp simd reduction(max : largest) reduction(+ : nothing)
        for (int64_t j = 0; j < inputs; j++) {
            const float size = __builtin_fabsf(x[j]);
            largest = size > largest ? size : largest;
            nothing += 0.0f * x[j];
        }
        const float scale = (largest > 0.0f ? largest / 127.0f : 1.0f) + nothing, per = 1.0f / scale;
        int8_t *place = reinterpret_cast<int8_t *>(into.at + row * into.words);
        int32_t sum = 0;
        int64_t j = 0;
        __m512i whole = _mm512_setzero_si512();
        for (; j + LANES <= inputs; j += LANES) {
            const __m512i q = _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_loadu_ps(x + j), _mm512_set1_ps(per)));
            whole = _mm512_add_epi32(whole, q);
            _mm_storeu_si128(reinterpret_cast<__m128i *>(place + j), _mm512_cvtsepi32_epi8(q));
        }
        for (; j < inputs; j++) {
            place[j] = static_cast<int8_t>(__builtin_rintf(x[j] * per));
            sum += place[j];
        }
        for (; j < into.words * depth; j++) place[j] = 0;
        into.scales[row] = scale;
        into.sums[row] = 128 * (sum + _mm512_reduce_add_epi32(whole));
    }
};
#endif

// A few rows of x times one panel of W. `sink(row, column, values)` gets the 64 sums of a row, bias included.
template <class Kind, int ROWS, class Sink>
inline void tile(const Matrix &matrix, const Narrow &x, int64_t row, int64_t panel, Sink &&sink) {
    typename Kind::Sums sums[ROWS][VECTORS] = {};
    const uint32_t *weights = matrix.words + panel * x.words * PANEL, *from = x.at + row * x.words;
    for (int64_t w = 0; w < x.words; w++, weights += PANEL) {
#pragma GCC unroll 8
        for (int r = 0; r < ROWS; r++)
#pragma GCC unroll 4
            for (int v = 0; v < VECTORS; v++) Kind::add(sums[r][v], weights + v * LANES, from[r * x.words + w]);
    }
#pragma GCC unroll 8
    for (int r = 0; r < ROWS; r++) {
        Floats values[VECTORS];
#pragma GCC unroll 4
        for (int v = 0; v < VECTORS; v++) {
            const int64_t column = panel * PANEL + v * LANES;
            values[v] = Kind::finish(sums[r][v], matrix, x, row + r, column) + floats(matrix.bias + column);
        }
        sink(row + r, panel * PANEL, values);
    }
}

// Rows first..last of x times panels first_panel..last_panel; each panel is read from far once.
template <class Kind, class Sink>
void multiply(const Matrix &matrix, const Narrow &x, int64_t rows, int64_t first_panel, int64_t last_panel,
              Sink &&sink) {
    for (int64_t panel = first_panel; panel < last_panel; panel++) {
        int64_t row = 0;
        for (; row + 6 <= rows; row += 6) tile<Kind, 6>(matrix, x, row, panel, sink);
        switch (rows - row) {
        case 5: tile<Kind, 5>(matrix, x, row, panel, sink); break;
        case 4: tile<Kind, 4>(matrix, x, row, panel, sink); break;
        case 3: tile<Kind, 3>(matrix, x, row, panel, sink); break;
        case 2: tile<Kind, 2>(matrix, x, row, panel, sink); break;
        case 1: tile<Kind, 1>(matrix, x, row, panel, sink); break;
        default: break;
        }
    }
}

inline int64_t panels(const Matrix &matrix) { return (matrix.outputs + PANEL - 1) / PANEL; }

// Where 64 sums of a row go: `join(old, new)` to what a row of an output holds, as far as the matrix has columns.
template <class Join> inline void put(float *row, int64_t column, int64_t outputs, const Floats *values, Join &&join) {
    for (int64_t v = 0; v < VECTORS; v++, column += LANES) {
        const int64_t count = outputs - column < LANES ? outputs - column : LANES;
        if (count <= 0) return;
        const size_t bytes = sizeof(float) * static_cast<size_t>(count);
        Floats old{};
        if (count == LANES) {
            const Floats whole = join(floats(row + column), values[v]);
            std::memcpy(row + column, &whole, sizeof whole);
        } else {
            std::memcpy(&old, row + column, bytes);
            const Floats part = join(old, values[v]);
            std::memcpy(row + column, &part, bytes);
        }
    }
}

inline Floats newer(const Floats &, const Floats &values) { return values; }

inline Floats sum(const Floats &old, const Floats &values) { return old + values; }

// Memory of one thread that serves many calls.
class Scratch {
    std::vector<std::vector<uint32_t>> blocks;
    size_t used = 0;

  public:
    void clear() { used = 0; }
    template <typename T> T *take(int64_t count) {
        static_assert(sizeof(T) == 4);
        if (used == blocks.size()) blocks.emplace_back();
        std::vector<uint32_t> &block = blocks[used++];
        if (block.size() < static_cast<size_t>(count) + LANES) block.resize(static_cast<size_t>(count) + LANES);
        return reinterpret_cast<T *>(block.data());
    }
    template <class Kind> Narrow narrow(int64_t rows, int64_t inputs) {
        const int64_t words = (inputs + Kind::depth - 1) / Kind::depth;
        return Narrow{words, take<uint32_t>(rows * words), take<float>(rows), take<int32_t>(rows)};
    }
};

// Rows of numbers made narrow; `from(n)`: where row n begins.
template <class Kind, class From>
Narrow narrowed(Scratch &scratch, int64_t rows, int64_t inputs, From &&from) {
    const Narrow narrow = scratch.narrow<Kind>(rows, inputs);
    for (int64_t n = 0; n < rows; n++) Kind::narrow(from(n), inputs, narrow, n);
    return narrow;
}

// W y + b of some rows, (rows, outputs).
template <class Kind> float *outputs(Scratch &scratch, const Matrix &matrix, const Narrow &narrow, int64_t rows) {
    float *out = scratch.take<float>(rows * matrix.outputs);
    multiply<Kind>(matrix, narrow, rows, 0, panels(matrix), [&](int64_t row, int64_t column, const Floats *values) {
        put(out + row * matrix.outputs, column, matrix.outputs, values, newer);
    });
    return out;
}

} // namespace
