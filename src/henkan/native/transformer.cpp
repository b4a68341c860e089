// A Transformer for outputs alone: one step of its decoder, and its encoder, each in one call.
// The specification is decoders/transformer.py and encoders/transformer.py; tests hold them together.
// Tokens are checked by who calls.

#include "transformer.h"

namespace {

constexpr int64_t TOGETHER = 96; // rows that climb through the layers side by side: what they need stays near

struct DecoderLayer {
    SelfAttention self;
    SourceAttention source;
    FeedForward feed_forward;
};

struct EncoderLayer {
    SelfAttention self;
    FeedForward feed_forward;
};

template <class Layer> struct Stack {
    int64_t width, heads, count;
    const Layer *layers;
    Norm last;
    const float *embedding; // (V, width)
    double scale;
    const float *positions; // (longest, width)

    void embed(int64_t id, int64_t position, float *out) const {
        const float *token = embedding + id * width, *place = positions + position * width;
        const float times = static_cast<float>(scale);
        for (int64_t j = 0; j < width; j++) out[j] = token[j] * times + place[j];
    }
};

// What a decoder has read. An entry holds keys and values of all layers, (layers, 2, width).
struct Past {
    float *entries;        // (rows, layers, 2, width) of this step
    const float **table;   // (rows, slots and more): the entry of each row and slot, null where a row had padding
    int64_t table_row, slots; // this step's slot
};

struct Source {
    const float *entries; // (sources, length, layers, 2, width)
    const float *bias;    // (sources, length): 0 where there is something
    int64_t length, group;
};

// Places that each of some rows sees, one list behind the other.
struct Places {
    std::vector<const float *> all;
    std::vector<size_t> ends;
    void clear() { all.clear(), ends.assign(1, 0); }
    void end() { ends.push_back(all.size()); }
    Seen of(int64_t n, int64_t layer, int64_t width) const {
        const size_t row = static_cast<size_t>(n);
        const int64_t keys = layer * 2 * width;
        return {static_cast<int64_t>(ends[row + 1] - ends[row]), all.data() + ends[row], keys, keys + width};
    }
};

template <class Kind>
void step_some(const Stack<DecoderLayer> &stack, int64_t begin, int64_t end, const int64_t *ids, const int64_t *read,
               const uint8_t *real, const Past &past, const Source &source, float *hidden, float *asking,
               int64_t aligning) {
    static thread_local Scratch scratch, own;
    static thread_local Places before, there;
    const int64_t rows = end - begin, width = stack.width, size = width / stack.heads, entry = stack.count * 2 * width;
    const int64_t longest = past.slots + 1 > source.length ? past.slots + 1 : source.length;
    own.clear(), before.clear(), there.clear();
    float *scores = own.take<float>(stack.heads * longest), *x = own.take<float>(rows * width);
    for (int64_t n = 0; n < rows; n++) {
        const int64_t row = begin + n, first = row / source.group * source.length;
        const float **table = past.table + row * past.table_row;
        table[past.slots] = real[row] ? past.entries + row * entry : nullptr;
        stack.embed(ids[row], real[row] || read[row] == 0 ? read[row] : read[row] - 1, x + n * width);
        for (int64_t s = 0; s <= past.slots; s++)
            if (table[s] != nullptr) before.all.push_back(table[s]);
        for (int64_t s = first; s < first + source.length; s++)
            if (source.bias[s] == 0.0f) there.all.push_back(source.entries + s * entry);
        before.end(), there.end();
    }
    Ascent<Kind> ascent(scratch, rows, width, x);
    for (int64_t number = 0; number < stack.count; number++) {
        const DecoderLayer &layer = stack.layers[number];
        ascent.attend_self(layer.self, [&](const float *projected, float *contexts) {
            for (int64_t n = 0; n < rows; n++) {
                const float *mine = projected + n * 3 * width;
                std::memcpy(past.entries + (begin + n) * entry + number * 2 * width, mine + width,
                            sizeof(float) * static_cast<size_t>(2 * width));
                attend_one(mine, stack.heads, size, before.of(n, number, width), scores, contexts + n * width);
            }
        });
        float *asks = number == aligning ? asking + begin * width : nullptr;
        ascent.attend_source(layer.source, asks, [&](const float *queries, float *contexts) {
            for (int64_t n = 0; n < rows; n++)
                attend_one(queries + n * width, stack.heads, size, there.of(n, number, width), scores,
                           contexts + n * width);
        });
        ascent.feed_forward(layer.feed_forward);
    }
    for (int64_t n = 0; n < rows; n++) normalise(stack.last, x + n * width, width, hidden + (begin + n) * width);
}

// Sentences one after the other without their padding: token t of sentence n is row starts[n] + t.
template <class Kind>
void encode_some(const Stack<EncoderLayer> &stack, int64_t first, int64_t last, int64_t length, const int64_t *ids,
                 const int64_t *lengths, float *states) {
    static thread_local Scratch scratch, own;
    const int64_t width = stack.width, size = width / stack.heads;
    std::vector<const float *> places(static_cast<size_t>(length));
    int64_t rows = 0;
    for (int64_t n = first; n < last; n++) rows += lengths[n];
    own.clear();
    float *scores = own.take<float>(stack.heads * length), *x = own.take<float>(rows * width);
    float *row = x;
    for (int64_t n = first; n < last; n++)
        for (int64_t t = 0; t < lengths[n]; t++, row += width) stack.embed(ids[n * length + t], t, row);
    Ascent<Kind> ascent(scratch, rows, width, x);
    for (int64_t number = 0; number < stack.count; number++) {
        const EncoderLayer &layer = stack.layers[number];
        ascent.attend_self(layer.self, [&](const float *projected, float *contexts) {
            const float *sentence = projected;
            for (int64_t n = first; n < last; n++) {
                for (int64_t t = 0; t < lengths[n]; t++) places[static_cast<size_t>(t)] = sentence + t * 3 * width;
                const Seen seen{lengths[n], places.data(), width, 2 * width};
                for (int64_t t = 0; t < lengths[n]; t++, contexts += width)
                    attend_one(sentence + t * 3 * width, stack.heads, size, seen, scores, contexts);
                sentence += lengths[n] * 3 * width;
            }
        });
        ascent.feed_forward(layer.feed_forward);
    }
    row = x;
    for (int64_t n = first; n < last; n++) {
        for (int64_t t = 0; t < lengths[n]; t++, row += width)
            normalise(stack.last, row, width, states + (n * length + t) * width);
        std::memset(states + (n * length + lengths[n]) * width, 0,
                    sizeof(float) * static_cast<size_t>((length - lengths[n]) * width));
    }
}

// Each thread takes rows of its own from the first layer to the last: nobody waits for anybody.
template <class Kind>
void step(int64_t rows, int64_t threads, const Stack<DecoderLayer> &stack, const int64_t *ids,
          const int64_t *read, const uint8_t *real, const Past &past, const Source &source, float *hidden,
          float *asking, int64_t aligning) {
    const int64_t team = rows < 16 ? 1 : threads;
    const int64_t parts = up((rows + TOGETHER - 1) / TOGETHER, team);
#pragma omp parallel for schedule(static) num_threads(static_cast<int>(team)) if (team > 1)
    for (int64_t part = 0; part < parts; part++)
        if (rows * part / parts < rows * (part + 1) / parts)
            step_some<Kind>(stack, rows * part / parts, rows * (part + 1) / parts, ids, read, real, past, source,
                            hidden, asking, aligning);
}

template <class Kind>
void encode(int64_t sentences, int64_t threads, const Stack<EncoderLayer> &stack, int64_t length, const int64_t *ids,
            const int64_t *lengths, float *states) {
    const int64_t several = length < TOGETHER ? TOGETHER / length : 1, parts = (sentences + several - 1) / several;
    const int team = parts < 2 ? 1 : static_cast<int>(threads);
#pragma omp parallel for schedule(dynamic) num_threads(team) if (team > 1)
    for (int64_t part = 0; part < parts; part++)
        encode_some<Kind>(stack, part * several, part + 1 < parts ? (part + 1) * several : sentences, length, ids,
                          lengths, states);
}

} // namespace

#define EXPORT(KIND, NAME)                                                                                             \
    extern "C" void henkan_step_##NAME(                                                                                \
        int64_t rows, int64_t threads, const Stack<DecoderLayer> *stack, const int64_t *ids, const int64_t *read,      \
        const uint8_t *real, float *entries, const float **table, int64_t table_row, int64_t slots,                    \
        const float *source, const float *bias, int64_t length, int64_t group, float *hidden, float *asking,           \
        int64_t aligning) {                                                                                            \
        step<KIND>(rows, threads, *stack, ids, read, real, Past{entries, table, table_row, slots},         \
                   Source{source, bias, length, group}, hidden, asking, aligning);                                       \
    }                                                                                                                  \
    extern "C" void henkan_encode_##NAME(int64_t sentences, int64_t threads, const Stack<EncoderLayer> *stack,          \
                                         int64_t length, const int64_t *ids, const int64_t *lengths, float *states) {  \
        encode<KIND>(sentences, threads, *stack, length, ids, lengths, states);                                        \
    }

EXPORT(Float32, float32)
#ifdef __AVX512BF16__
EXPORT(Bfloat16, bfloat16)
#endif
#ifdef __AVX512VNNI__
EXPORT(Int8, int8)
#endif
