// What training does beside products: cross-entropy with its gradient, dropout with a residual sum, GELU.
// The plain twins, which are the specification, are in nn/cross_entropy.py, nn/dropout.py and nn/gelu.py.

#include "numbers.h"

#include <vector>

namespace {

// Cross-entropy of each row of logits (rows, size) with a label and a little of everything else, and the logarithm of
// the label's probability. Where `wanted`, each row of logits becomes the gradient of its loss.
template <typename T>
void cross_entropy(const Rows &rows, T *logits, int64_t logits_row, const int64_t *labels, double smoothing,
                   int64_t wanted, float *losses, float *chosen) {
    const int64_t size = rows.size;
    const float spread = static_cast<float>(smoothing / static_cast<double>(size));
    const float certain = static_cast<float>(1.0 - smoothing);
#pragma omp parallel num_threads(static_cast<int>(rows.threads)) if (rows.threads > 1)
    {
        std::vector<float> wide(static_cast<size_t>(size));
        float *row = wide.data();
#pragma omp for
        for (int64_t n = 0; n < rows.rows; n++) {
            T *at = logits + n * logits_row;
            float top = -__builtin_inff(), sum = 0.0f;
#pragma omp simd reduction(max : top) reduction(+ : sum)
            for (int64_t j = 0; j < size; j++) {
                row[j] = load(at[j]);
                top = row[j] > top ? row[j] : top;
                sum += row[j];
            }
            const float label = row[labels[n]];
            float total = 0.0f;
#pragma omp simd reduction(+ : total)
            for (int64_t j = 0; j < size; j++) {
                row[j] = exponential(row[j] - top);
                total += row[j];
            }
            const float normaliser = top + __builtin_logf(total);
            chosen[n] = label - normaliser;
            losses[n] = -certain * chosen[n] - spread * (sum - static_cast<float>(size) * normaliser);
            if (!wanted) continue;
            const float share = 1.0f / total;
#pragma omp simd
            for (int64_t j = 0; j < size; j++) store(at[j], row[j] * share - spread);
            store(at[labels[n]], row[labels[n]] * share - spread - certain);
        }
    }
}

// Which elements stay: 16 bits for each from a hash of its place and the seed; the same in nn/dropout.py. One hash
// serves two elements that lie `LANES` apart, so that both halves can be used without moving numbers between lanes.
constexpr uint32_t LANES = 16;

inline uint32_t hash(uint32_t place, uint32_t low, uint32_t high) {
    uint32_t x = place * 0x9E3779B9u + low;
    x = (x ^ (x >> 15)) + high;
    x = (x ^ (x >> 16)) * 0x21F0AAADu;
    x = (x ^ (x >> 15)) * 0x735A2D97u;
    return x ^ (x >> 15);
}

// base + vectors * scale where an element stays, base where it is dropped; `least` is the least 16 bits that stay.
template <typename T, bool with_base>
void dropped(int64_t count, int64_t threads, int64_t seed, int32_t least, float scale, const T *vectors, const T *base,
             T *out) {
    const uint32_t low = static_cast<uint32_t>(seed), high = static_cast<uint32_t>(static_cast<uint64_t>(seed) >> 32);
    const int64_t blocks = (count + 2 * LANES - 1) / (2 * LANES);
#pragma omp parallel for num_threads(static_cast<int>(threads)) if (threads > 1 && count > 65536)
    for (int64_t block = 0; block < blocks; block++) {
        float factors[2 * LANES];
        const uint32_t place = static_cast<uint32_t>(block * LANES);
#pragma omp simd
        for (uint32_t lane = 0; lane < LANES; lane++) {
            const uint32_t drawn = hash(place + lane, low, high);
            factors[lane] = static_cast<int32_t>(drawn << 16) >> 16 >= least ? scale : 0.0f;
            factors[lane + LANES] = static_cast<int32_t>(drawn) >> 16 >= least ? scale : 0.0f;
        }
        const int64_t first = block * 2 * LANES, left = count - first;
        const T *from = vectors + first, *under = base + (with_base ? first : 0);
        T *to = out + first;
        const auto choose = [&](int64_t j) {
            const float found = load(from[j]) * factors[j];
            store(to[j], with_base ? load(under[j]) + found : found);
        };
        if (left >= 2 * LANES) {
#pragma omp simd
            for (int64_t j = 0; j < 2 * LANES; j++) choose(j);
        } else {
            for (int64_t j = 0; j < left; j++) choose(j);
        }
    }
}

// GELU by a hyperbolic tangent: x (1 + tanh(u)) / 2, which is x * sigmoid(2 u). On the way `back` its gradient.
template <typename T, bool back>
void gelu_tanh(int64_t count, int64_t threads, const T *vectors, const T *grad, T *out) {
    constexpr float twice = 1.59576912f; // 2 sqrt(2 / pi)
#pragma omp parallel num_threads(static_cast<int>(threads)) if (threads > 1 && count > 65536)
#pragma omp for simd
    for (int64_t j = 0; j < count; j++) {
        const float x = load(vectors[j]);
        float near = x < -16.0f ? -16.0f : x; // farther out the sigmoid is 0 or 1, and the cube too large for a float
        near = near > 16.0f ? 16.0f : near;
        const float square = near * near, share = sigmoid(twice * near * (1.0f + 0.044715f * square));
        const float bend = share * (1.0f - share) * near * twice * (1.0f + 0.134145f * square);
        store(out[j], back ? load(grad[j]) * (share + bend) : x * share);
    }
}

} // namespace

#define ROWS int64_t rows, int64_t size, int64_t threads, const uint8_t *mask, int64_t mask_stride
#define GIVEN                                                                                                         \
    Rows { rows, size, threads, mask, mask_stride }

#define EXPORT(T, NAME)                                                                                               \
    extern "C" void henkan_cross_entropy_##NAME(ROWS, T *logits, int64_t logits_row, const int64_t *labels,           \
                                                double smoothing, int64_t wanted, float *losses, float *chosen) {     \
        cross_entropy<T>(GIVEN, logits, logits_row, labels, smoothing, wanted, losses, chosen);                       \
    }                                                                                                                 \
    extern "C" void henkan_dropped_##NAME(ROWS, int64_t seed, int64_t least, double scale, const T *vectors,          \
                                          const T *base, T *out) {                                                    \
        (void)mask, (void)mask_stride;                                                                                \
        const auto run = base == nullptr ? dropped<T, false> : dropped<T, true>;                                      \
        run(rows * size, threads, seed, static_cast<int32_t>(least), static_cast<float>(scale), vectors, base, out);  \
    }                                                                                                                 \
    extern "C" void henkan_gelu_tanh_##NAME(ROWS, const T *vectors, const T *grad, T *out) {                          \
        (void)mask, (void)mask_stride;                                                                                \
        const auto run = grad == nullptr ? gelu_tanh<T, false> : gelu_tanh<T, true>;                                  \
        run(rows * size, threads, vectors, grad, out);                                                                \
    }

EXPORT(float, float32)
EXPORT(bf16, bfloat16)
