// Recurrences for outputs alone: a step of Luong's decoder, and a layer of an encoder, each in one call.
// The specification is decoders/luong.py and nn/recurrent.py; tests hold them together. Tokens are checked by who calls.

#include "best.h"
#include "lstm_step.h"

namespace {

constexpr int64_t TOGETHER = 96; // rows that are read side by side: what they need stays near

struct LuongDecoder {
    int64_t width, count;
    const PackedCell *cells; // the first one's recurrent inputs have the fed vector in front, where there is one
    Matrix mix;              // of context and output
    int64_t embedded;        // width of a token's vector
    const float *embedding;
    double scale;
};

// What a row carries: the attentional vector, then the outputs of all layers, then their carousels; `width` each.
// Rows that branched have one place, and what depends on nothing but the past is computed once for them.
struct Carried {
    const float *block;
    const int64_t *places; // (rows)
};

struct Attended {
    const float *keys, *values, *bias; // (sources, length, width), (sources, length, contexts), (sources, length)
    int64_t length, contexts, group;
};

// softmax(q . k + bias) v of one query.
void look(const float *query, int64_t width, const Attended &attended, int64_t source, float *weights,
          float *context) {
    const int64_t length = attended.length, contexts = attended.contexts;
    const float *keys = attended.keys + source * length * width, *bias = attended.bias + source * length;
    for (int64_t s = 0; s < length; s++) {
        float score = 0.0f;
#pragma omp simd reduction(+ : score)
        for (int64_t j = 0; j < width; j++) score += query[j] * keys[s * width + j];
        weights[s] = score + bias[s];
    }
    const float top = largest(weights, length);
    float total = 0.0f;
#pragma omp simd reduction(+ : total)
    for (int64_t s = 0; s < length; s++) {
        weights[s] = exponential(weights[s] - top);
        total += weights[s];
    }
    std::memset(context, 0, sizeof(float) * static_cast<size_t>(contexts));
    for (int64_t s = 0; s < length; s++) {
        const float share = weights[s] / total, *value = attended.values + (source * length + s) * contexts;
#pragma omp simd
        for (int64_t j = 0; j < contexts; j++) context[j] += share * value[j];
    }
}

// The different ones among some places, and which of them each row has.
struct Origins {
    std::vector<int64_t> places, of_row;
    void find(const int64_t *given, int64_t rows) {
        places.clear(), of_row.clear();
        for (int64_t n = 0; n < rows; n++) {
            int64_t found = static_cast<int64_t>(places.size()) - 1;
            while (found >= 0 && places[static_cast<size_t>(found)] != given[n]) found--;
            if (found < 0) {
                found = static_cast<int64_t>(places.size());
                places.push_back(given[n]);
            }
            of_row.push_back(found);
        }
    }
};

template <class Kind>
void step_some(const LuongDecoder &decoder, int64_t begin, int64_t end, const int64_t *ids, const uint8_t *real,
               const Carried &before, const Attended &attended, float *after) {
    static thread_local Scratch scratch;
    static thread_local Origins origins;
    const int64_t rows = end - begin, width = decoder.width, carried = (1 + 2 * decoder.count) * width;
    const int64_t *places = before.places + begin;
    float *const to = after + begin * carried;
    origins.find(places, rows);
    const int64_t different = static_cast<int64_t>(origins.places.size());
    for (int64_t number = 0; number < decoder.count; number++) {
        const PackedCell &cell = decoder.cells[number];
        const int64_t output = (1 + number) * width, carousel = output + decoder.count * width;
        scratch.clear();
        const float *below = to + output - width;
        int64_t pace = carried;
        if (number == 0) {
            float *embedded = scratch.take<float>(rows * decoder.embedded);
            const float scale = static_cast<float>(decoder.scale);
            for (int64_t n = 0; n < rows; n++) {
                const float *token = decoder.embedding + ids[begin + n] * decoder.embedded;
                for (int64_t j = 0; j < decoder.embedded; j++) embedded[n * decoder.embedded + j] = token[j] * scale;
            }
            below = embedded, pace = decoder.embedded;
        }
        const Narrow read =
            narrowed<Kind>(scratch, rows, cell.inputs.inputs, [&](int64_t n) { return below + n * pace; });
        float *gates = outputs<Kind>(scratch, cell.inputs, read, rows);
        const float *past = before.block + output + width - cell.recurrent.inputs;
        const Narrow remembered = narrowed<Kind>(scratch, different, cell.recurrent.inputs, [&](int64_t n) {
            return past + origins.places[static_cast<size_t>(n)] * carried;
        });
        const float *recurrent = outputs<Kind>(scratch, cell.recurrent, remembered, different);
        for (int64_t n = 0; n < rows; n++)
            step_row(cell, gates + n * cell.gates(),
                     recurrent + origins.of_row[static_cast<size_t>(n)] * cell.gates(),
                     before.block + places[n] * carried + carousel, to + n * carried + carousel,
                     to + n * carried + output);
    }
    scratch.clear();
    const int64_t top = decoder.count * width, joined = decoder.mix.inputs;
    float *weights = scratch.take<float>(attended.length), *pairs = scratch.take<float>(rows * joined);
    for (int64_t n = 0; n < rows; n++) {
        const float *query = to + n * carried + top;
        look(query, width, attended, (begin + n) / attended.group, weights, pairs + n * joined);
        std::memcpy(pairs + n * joined + attended.contexts, query, sizeof(float) * static_cast<size_t>(width));
    }
    const Narrow mixed = narrowed<Kind>(scratch, rows, joined, [&](int64_t n) { return pairs + n * joined; });
    const float *vectors = outputs<Kind>(scratch, decoder.mix, mixed, rows);
    for (int64_t n = 0; n < rows; n++) {
        float *row = to + n * carried;
        if (real[begin + n]) {
#pragma omp simd
            for (int64_t j = 0; j < width; j++) row[j] = hyperbolic(vectors[n * width + j]);
        } else {
            std::memcpy(row, before.block + places[n] * carried, sizeof(float) * static_cast<size_t>(carried));
        }
    }
}

// Each thread takes rows of its own from the first layer to the last: nobody waits for anybody.
template <class Kind>
void step(int64_t rows, int64_t threads, const LuongDecoder &decoder, const int64_t *ids, const uint8_t *real,
          const Carried &before, const Attended &attended, float *after) {
    const int64_t team = rows < 16 ? 1 : threads;
    const int64_t parts = up((rows + TOGETHER - 1) / TOGETHER, team);
#pragma omp parallel for schedule(static) num_threads(static_cast<int>(team)) if (team > 1)
    for (int64_t part = 0; part < parts; part++)
        if (rows * part / parts < rows * (part + 1) / parts)
            step_some<Kind>(decoder, rows * part / parts, rows * (part + 1) / parts, ids, real, before, attended,
                            after);
}

// Where the outputs of one direction go: `pace` numbers from one position to the next.
struct Outputs {
    float *at;
    int64_t pace;
    float *hidden, *cell; // (rows, size): after the last real position
};

// `gates` (rows, length, gates of the cell): the inputs' share, which is spent. Padding is skipped, its outputs are zero.
template <class Kind>
void read_some(const PackedCell &cell, int64_t begin, int64_t end, int64_t length, float *gates,
               const int64_t *lengths, bool backwards, const Outputs &out) {
    static thread_local Scratch scratch;
    static thread_local std::vector<int64_t> present;
    const int64_t size = cell.size, count = cell.gates();
    const size_t bytes = sizeof(float) * static_cast<size_t>(size);
    auto place = [&](int64_t n, int64_t step) { return n * length + (backwards ? lengths[n] - 1 - step : step); };
    std::memset(out.cell + begin * size, 0, bytes * static_cast<size_t>(end - begin));
    for (int64_t n = begin; n < end; n++)
        for (int64_t t = lengths[n]; t < length; t++) std::memset(out.at + (n * length + t) * out.pace, 0, bytes);
    for (int64_t step = 0; step < length; step++) {
        present.clear();
        for (int64_t n = begin; n < end; n++)
            if (step < lengths[n]) present.push_back(n);
        const int64_t rows = static_cast<int64_t>(present.size());
        scratch.clear();
        const float *recurrent = scratch.take<float>(rows * count);
        if (step == 0) {
            std::memset(const_cast<float *>(recurrent), 0, sizeof(float) * static_cast<size_t>(rows * count));
        } else {
            const Narrow before = narrowed<Kind>(scratch, rows, size, [&](int64_t i) {
                return out.at + place(present[static_cast<size_t>(i)], step - 1) * out.pace;
            });
            recurrent = outputs<Kind>(scratch, cell.recurrent, before, rows);
        }
        for (int64_t i = 0; i < rows; i++) {
            const int64_t n = present[static_cast<size_t>(i)], now = place(n, step);
            float *carousel = out.cell + n * size;
            step_row(cell, gates + now * count, recurrent + i * count, carousel, carousel, out.at + now * out.pace);
        }
    }
    for (int64_t n = begin; n < end; n++) {
        if (lengths[n] > 0)
            std::memcpy(out.hidden + n * size, out.at + place(n, lengths[n] - 1) * out.pace, bytes);
        else
            std::memset(out.hidden + n * size, 0, bytes);
    }
}

template <class Kind>
void read(int64_t rows, int64_t threads, const PackedCell &cell, int64_t length, float *gates, const int64_t *lengths,
          bool backwards, const Outputs &out) {
    const int64_t team = rows < 16 ? 1 : threads;
    const int64_t parts = up((rows + TOGETHER - 1) / TOGETHER, team);
#pragma omp parallel for schedule(static) num_threads(static_cast<int>(team)) if (team > 1)
    for (int64_t part = 0; part < parts; part++)
        if (rows * part / parts < rows * (part + 1) / parts)
            read_some<Kind>(cell, rows * part / parts, rows * (part + 1) / parts, length, gates, lengths, backwards,
                            out);
}

} // namespace

#define EXPORT(KIND, NAME)                                                                                             \
    extern "C" void henkan_luong_step_##NAME(                                                                          \
        int64_t rows, int64_t threads, const LuongDecoder *decoder, const int64_t *ids, const uint8_t *real,           \
        const float *block, const int64_t *places, const float *keys, const float *values, const float *bias,          \
        int64_t length, int64_t contexts, int64_t group, float *after) {                                               \
        step<KIND>(rows, threads, *decoder, ids, real, Carried{block, places},                                         \
                   Attended{keys, values, bias, length, contexts, group}, after);                                      \
    }                                                                                                                  \
    extern "C" void henkan_lstm_read_##NAME(int64_t rows, int64_t threads, const PackedCell *cell, int64_t length,     \
                                            float *gates, const int64_t *lengths, int64_t backwards, float *outputs,   \
                                            int64_t pace, float *last_hidden, float *last_cell) {                      \
        read<KIND>(rows, threads, *cell, length, gates, lengths, backwards != 0,                                       \
                   Outputs{outputs, pace, last_hidden, last_cell});                                                    \
    }

EXPORT(Float32, float32)
#ifdef __AVX512BF16__
EXPORT(Bfloat16, bfloat16)
#endif
#ifdef __AVX512VNNI__
EXPORT(Int8, int8)
#endif
