// One step of decoding: attention of one query a row over what is remembered, and the best tokens of a row of logits.
// The plain twins, which are the specification, are in nn/step_attention.py and nn/top.py; tests hold them together.

#include "best.h"

#include <vector>

namespace {

// What position s of row n is: keys and values lie at the same offset in two buffers.
struct Remembered {
    int64_t row, head, position; // strides
    const int64_t *table;        // (rows, positions): which row of the buffer; null: row n / group
    int64_t table_row, group;
    int64_t at(int64_t n, int64_t s) const {
        return (table != nullptr ? table[n * table_row + s] : n / group) * row + s * position;
    }
};

// softmax(q . k / sqrt(size) + bias) v, head by head; bias (rows / bias_group, positions) serves all heads.
template <typename T>
void attend(const Rows &rows, int64_t heads, int64_t positions, const T *queries, int64_t query_row, const T *keys,
            const T *values, const Remembered &past, const T *bias, int64_t bias_row, int64_t bias_group,
            T *contexts) {
    const int64_t size = rows.size, all = heads * size;
    const float scale = 1.0f / __builtin_sqrtf(static_cast<float>(size));
    const int team = rows.rows * positions * all < 16384 ? 1 : static_cast<int>(rows.threads);
#pragma omp parallel num_threads(team) if (team > 1)
    {
        std::vector<float> scores(static_cast<size_t>(heads * positions)), sums(static_cast<size_t>(all)),
            query(static_cast<size_t>(all));
#pragma omp for
        for (int64_t n = 0; n < rows.rows; n++) {
            const T *shift = bias + (n / bias_group) * bias_row;
            for (int64_t j = 0; j < all; j++) query[j] = load(queries[n * query_row + j]) * scale;
            for (int64_t s = 0; s < positions; s++) {
                const T *at = keys + past.at(n, s);
                for (int64_t h = 0; h < heads; h++) {
                    const T *key = at + h * past.head;
                    const float *q = query.data() + h * size;
                    float sum = 0.0f;
#pragma omp simd reduction(+ : sum)
                    for (int64_t j = 0; j < size; j++) sum += q[j] * load(key[j]);
                    scores[h * positions + s] = sum + load(shift[s]);
                }
            }
            for (int64_t h = 0; h < heads; h++) {
                float *weights = scores.data() + h * positions;
                const float top = largest(weights, positions);
                float total = 0.0f;
#pragma omp simd reduction(+ : total)
                for (int64_t s = 0; s < positions; s++) {
                    weights[s] = exponential(weights[s] - top);
                    total += weights[s];
                }
                const float share = 1.0f / total;
                for (int64_t s = 0; s < positions; s++) weights[s] *= share;
            }
            for (int64_t j = 0; j < all; j++) sums[j] = 0.0f;
            for (int64_t s = 0; s < positions; s++) {
                const T *at = values + past.at(n, s);
                for (int64_t h = 0; h < heads; h++) {
                    const T *value = at + h * past.head;
                    float *sum = sums.data() + h * size;
                    const float weight = scores[h * positions + s];
#pragma omp simd
                    for (int64_t j = 0; j < size; j++) sum[j] += weight * load(value[j]);
                }
            }
            for (int64_t j = 0; j < all; j++) store(contexts[n * all + j], sums[j]);
        }
    }
}

constexpr int64_t MOST = 80; // candidates of a row: see nn/top.py

// Reads a row of logits once.
template <typename T> Powers gather(const T *row, int64_t size, Best &found) {
    constexpr int64_t block = 128;
    float wide[block];
    Powers powers;
    for (int64_t first = 0; first < size; first += block) {
        const int64_t width = size - first < block ? size - first : block;
#pragma omp simd
        for (int64_t j = 0; j < width; j++) wide[j] = load(row[first + j]);
        read_block(wide, width, first, powers, found);
    }
    return powers;
}

// Log-probabilities and ids of the best k of each row of logits (rows, size).
template <typename T>
void top(const Rows &rows, int64_t k, const T *logits, int64_t logits_row, float *best, int64_t *ids) {
    each_row(rows, [&](int64_t n) {
        Best found{k, best + n * k, ids + n * k};
        found.clear();
        const float normaliser = gather(logits + n * logits_row, rows.size, found).normaliser();
        for (int64_t i = 0; i < k; i++) found.best[i] -= normaliser;
    });
}

// The same where logits are rounded: those of the best `candidates` are made again from hidden (rows, width), weight
// (size, width) and bias (size), and take the place of the rounded ones.
template <typename T>
void top_again(const Rows &rows, int64_t k, int64_t candidates, const T *logits, int64_t logits_row, int64_t width,
               const float *hidden, const float *weight, const float *bias, float *best, int64_t *ids) {
    each_row(rows, [&](int64_t n) {
        float rounded[MOST];
        int64_t places[MOST];
        Best some{candidates, rounded, places}, found{k, best + n * k, ids + n * k};
        some.clear();
        found.clear();
        const Powers powers = gather(logits + n * logits_row, rows.size, some);
        const Again again{width, hidden + n * width, weight, bias};
        const float normaliser = offer_again(some, again, powers.highest, powers.total, found);
        for (int64_t i = 0; i < k; i++) found.best[i] -= normaliser;
    });
}

} // namespace

#define ROWS int64_t rows, int64_t size, int64_t threads, const uint8_t *mask, int64_t mask_stride
#define GIVEN                                                                                                         \
    Rows { rows, size, threads, mask, mask_stride }

#define EXPORT(T, NAME)                                                                                               \
    extern "C" void henkan_attend_##NAME(ROWS, int64_t heads, int64_t positions, const T *queries, int64_t query_row, \
                                         const T *keys, const T *values, int64_t row, int64_t head, int64_t position, \
                                         const int64_t *table, int64_t table_row, int64_t group, const T *bias,       \
                                         int64_t bias_row, int64_t bias_group, T *contexts) {                         \
        attend<T>(GIVEN, heads, positions, queries, query_row, keys, values,                                          \
                  Remembered{row, head, position, table, table_row, group}, bias, bias_row, bias_group, contexts);    \
    }                                                                                                                 \
    extern "C" void henkan_top_##NAME(ROWS, int64_t k, const T *logits, int64_t logits_row, float *best,              \
                                      int64_t *ids) {                                                                 \
        top<T>(GIVEN, k, logits, logits_row, best, ids);                                                              \
    }                                                                                                                 \
    extern "C" void henkan_top_again_##NAME(ROWS, int64_t k, int64_t candidates, const T *logits, int64_t logits_row, \
                                            int64_t width, const float *hidden, const float *weight,                  \
                                            const float *bias, float *best, int64_t *ids) {                           \
        top_again<T>(GIVEN, k, candidates, logits, logits_row, width, hidden, weight, bias, best, ids);               \
    }

EXPORT(float, float32)
EXPORT(bf16, bfloat16)
