// Numbers of both types, the squashing functions, and the loop over rows that everything here shares.
#pragma once

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
// Never called: a loop around a call is no vector loop.
__attribute__((always_inline)) inline float exponential(float x) {
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

// At padding nothing enters: gradients of the gates are zero and that of the output waits in `carry`.
template <typename T>
void pass_gradient(int64_t size, int64_t gates, const T *grad_output, const T *grad_product, float *carry,
                   T *grad_gates) {
    for (int64_t j = 0; j < size; j++) carry[j] += load(grad_output[j]) + load(grad_product[j]);
    std::memset(static_cast<void *>(grad_gates), 0, sizeof(T) * static_cast<size_t>(gates * size));
}

} // namespace
