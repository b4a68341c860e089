// Products with packed weights. The plain twin, which is the specification, is in nn/product.py.

#include "best.h"
#include "product.h"

namespace {

// (outputs, inputs) to words side by side; what a panel has beyond the last output is zero.
template <class Kind, typename T>
void pack(int64_t outputs, int64_t inputs, const T *weight, T *words, T zero) {
    const int64_t depth = Kind::depth, per_row = (inputs + depth - 1) / depth;
    for (int64_t panel = 0; panel * PANEL < outputs; panel++)
        for (int64_t w = 0; w < per_row; w++)
            for (int64_t column = 0; column < PANEL; column++)
                for (int64_t d = 0; d < depth; d++) {
                    const int64_t output = panel * PANEL + column, input = w * depth + d;
                    *words++ = output < outputs && input < inputs ? weight[output * inputs + input] : zero;
                }
}

template <class Kind>
void product(int64_t rows, int64_t threads, const Matrix &matrix, const float *x, int64_t x_row, float *out,
             int64_t out_row) {
    static thread_local Scratch scratch;
    scratch.clear();
    const Narrow narrow = narrowed<Kind>(scratch, rows, matrix.inputs, [&](int64_t n) { return x + n * x_row; });
    const int64_t count = panels(matrix);
    const int team = rows * matrix.inputs * matrix.outputs < (1 << 20) ? 1 : static_cast<int>(threads);
    auto sink = [&](int64_t row, int64_t column, const Floats *values) {
        put(out + row * out_row, column, matrix.outputs, values, newer);
    };
#pragma omp parallel for num_threads(team) if (team > 1)
    for (int64_t part = 0; part < team; part++)
        multiply<Kind>(matrix, narrow, rows, count * part / team, count * (part + 1) / team, sink);
}

// As in numbers.h, 16 at a time.
inline Floats exponentials(Floats x) {
    x = x < -87.0f ? Floats{} - 87.0f : x; // never above 0
    const Floats n = (x * 1.44269504f + 12582912.0f) - 12582912.0f; // to the nearest whole number
    const Floats r = x - n * 0.693145752f - n * 1.42860677e-6f;
    Floats p = r * 1.9875691500e-4f + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.0f;
    const Integers scale = (__builtin_convertvector(n, Integers) + 127) << 23;
    Floats power;
    std::memcpy(&power, &scale, sizeof power);
    return p * power;
}

// Sums of powers over the largest number of a row so far, one sum for each lane.
struct PanelPowers {
    float highest = -3.0e38f;
    Floats totals{};
    float total() const {
        float sum = 0.0f;
        for (int64_t j = 0; j < LANES; j++) sum += totals[j];
        return sum;
    }
    float normaliser() const { return highest + __builtin_logf(total()); }
};

// A panel of a row: looked through only where its largest is among the best. `left`: columns until the row ends.
__attribute__((noinline)) inline void read_panel(const Floats *values, int64_t left, int64_t first, PanelPowers &powers,
                                          Best &found) {
    Floats own[VECTORS];
    std::memcpy(own, values, sizeof own);
    if (left < PANEL)
        for (int64_t j = left; j < PANEL; j++) own[j / LANES][j % LANES] = -3.0e38f;
    Floats tops = own[0];
    for (int64_t v = 1; v < VECTORS; v++) tops = tops > own[v] ? tops : own[v];
    float top_here = tops[0];
#pragma omp simd reduction(max : top_here)
    for (int64_t j = 0; j < LANES; j++) top_here = tops[j] > top_here ? tops[j] : top_here;
    if (top_here > powers.highest) {
        powers.totals *= exponential(powers.highest - top_here);
        powers.highest = top_here;
    }
    for (int64_t v = 0; v < VECTORS; v++) powers.totals += exponentials(own[v] - powers.highest);
    if (top_here > found.least())
        for (int64_t j = 0; j < (left < PANEL ? left : PANEL); j++) found.offer(own[j / LANES][j % LANES], first + j);
}

// The best k of W x + b in each row and their log-probabilities; no row of sums is ever whole. The best `candidates`
// are made again where there is a `weight` (outputs, inputs), and take the place of the rounded ones.
template <class Kind>
void best(int64_t rows, int64_t threads, const Matrix &matrix, const float *hidden, int64_t k, int64_t candidates,
          const float *weight, const float *bias, float *found, int64_t *ids) {
    const int64_t team = rows < 16 ? 1 : threads, parts = up((rows + 95) / 96, team); // what 96 rows need stays near
#pragma omp parallel for schedule(static) num_threads(static_cast<int>(team)) if (team > 1)
    for (int64_t part = 0; part < parts; part++) {
        static thread_local Scratch scratch;
        static thread_local std::vector<int64_t> places;
        scratch.clear();
        const int64_t begin = rows * part / parts, count = rows * (part + 1) / parts - begin;
        const float *own = hidden + begin * matrix.inputs;
        const Narrow narrow =
            narrowed<Kind>(scratch, count, matrix.inputs, [&](int64_t n) { return own + n * matrix.inputs; });
        float *values = scratch.take<float>(count * candidates);
        places.resize(static_cast<size_t>(count * candidates));
        std::vector<PanelPowers> powers(static_cast<size_t>(count));
        auto list = [&](int64_t n) {
            return Best{candidates, values + n * candidates, places.data() + n * candidates};
        };
        for (int64_t n = 0; n < count; n++) list(n).clear();
        multiply<Kind>(matrix, narrow, count, 0, panels(matrix), [&](int64_t n, int64_t column, const Floats *sums) {
            Best some = list(n);
            read_panel(sums, matrix.outputs - column, column, powers[static_cast<size_t>(n)], some);
        });
        for (int64_t n = 0; n < count; n++) {
            const PanelPowers &power = powers[static_cast<size_t>(n)];
            const Best some = list(n);
            Best last{k, found + (begin + n) * k, ids + (begin + n) * k};
            last.clear();
            float normaliser = power.normaliser();
            if (weight != nullptr) {
                const Again again{matrix.inputs, own + n * matrix.inputs, weight, bias};
                normaliser = offer_again(some, again, power.highest, power.total(), last);
            } else {
                for (int64_t i = 0; i < k; i++) last.offer(some.best[i], some.ids[i]);
            }
            for (int64_t i = 0; i < k; i++) last.best[i] -= normaliser;
        }
    }
}

} // namespace

// Which kinds this processor has instructions for: 1 bf16, 2 int8.
extern "C" int64_t henkan_product_kinds() {
    int64_t kinds = 0;
#ifdef __AVX512BF16__
    kinds |= 1;
#endif
#ifdef __AVX512VNNI__
    kinds |= 2;
#endif
    return kinds;
}

#define EXPORT(KIND, T, NAME, ZERO)                                                                                    \
    extern "C" void henkan_pack_##NAME(int64_t outputs, int64_t inputs, const T *weight, T *words) {                    \
        pack<KIND, T>(outputs, inputs, weight, words, ZERO);                                                           \
    }                                                                                                                  \
    extern "C" void henkan_product_##NAME(int64_t rows, int64_t threads, const Matrix *matrix, const float *x,          \
                                          int64_t x_row, float *out, int64_t out_row) {                                \
        product<KIND>(rows, threads, *matrix, x, x_row, out, out_row);                                                 \
    }                                                                                                                  \
    extern "C" void henkan_best_##NAME(int64_t rows, int64_t threads, const Matrix *matrix, const float *hidden,        \
                                       int64_t k, int64_t candidates, const float *weight, const float *bias,          \
                                       float *found, int64_t *ids) {                                                   \
        best<KIND>(rows, threads, *matrix, hidden, k, candidates, weight, bias, found, ids);                           \
    }

EXPORT(Float32, float, float32, 0.0f)
#ifdef __AVX512BF16__
EXPORT(Bfloat16, uint16_t, bfloat16, 0)
#endif
#ifdef __AVX512VNNI__
EXPORT(Int8, uint8_t, int8, 128)
#endif
