"""Learning a vocabulary from texts: words, characters, and subwords of four kinds.

All kinds but ``byte_bpe`` (``byte_level.py``) keep the rules at the head of ``tokenizer.py``.
"""

import random
from collections import Counter
from collections.abc import Iterable

import numpy as np
import tokenizers
from tokenizers import Regex, decoders, models, normalizers, pre_tokenizers, trainers

from henkan.errors import DataError
from henkan.text import byte_level
from henkan.text.normalise import normalise
from henkan.text.tokenizer import SPACE, SPECIAL_TOKENS, UNKNOWN, Tokenizer, TokenizerConfig
from henkan.text.unigram import learn_unigram

LONGEST_PIECE = 16
"""Characters in a subword, at most; SentencePiece's default too. Keeps whole sentences out of the vocabulary
where words are written without spaces."""

_ONE_BY_ONE = Regex(SPACE + r"?[\p{P}\p{N}$+<=>^`|~]")
_UNIGRAM_SEEDS = 3  # times the vocabulary: pieces that a unigram vocabulary is chosen from
_WORDPIECE_SPAN = 64  # longest-match-first is quadratic in what it is given, so it is given spans of this length


def learn(config: TokenizerConfig, texts: Iterable[str]) -> Tokenizer:
    """Learn a vocabulary.

    The texts are read once; where there are more than ``config.sample``, an even sample of them is kept in memory.
    The same texts give the same vocabulary, byte for byte. Where there are more characters than entries, the rarest
    stay unknown.

    Raises:
        DataError: there is no text to learn from.
    """
    sample = [normalise(text) for text in draw(texts, config.sample)]
    special = config.special
    room = config.vocabulary - len(special)
    if config.kind == "word":
        words = Counter(word for text in sample for word in text.split(" ") if word and word not in special)
        return Tokenizer(_word_library(special, _most_common(words, room)))
    if config.kind == "byte_bpe":
        return Tokenizer(byte_level.learn_bytes(sample, special, config.vocabulary))
    characters = _count_characters(sample)
    if config.kind == "character":
        return Tokenizer(_character_library(special, _most_common(characters, room)))
    return Tokenizer(_subword_library(config, sample, characters))


def draw(texts: Iterable[str], most: int) -> list[str]:
    """All texts, or a uniform sample of ``most`` of them (reservoir sampling, Vitter 1985) where there are more."""
    generator = random.Random(0)
    kept: list[str] = []
    for place, text in enumerate(texts):
        if place < most:
            kept.append(text)
        elif (drawn := generator.randrange(place + 1)) < most:
            kept[drawn] = text
    if not any(kept):
        raise DataError("there is no text to learn a vocabulary from")
    return kept


def _count_characters(texts: list[str]) -> Counter[str]:
    """How often each character occurs, a space counted as ▁."""
    counts = np.zeros(0x110000, dtype=np.int64)
    for start in range(0, len(texts), 10_000):
        chunk = "".join(texts[start : start + 10_000])
        codes = np.frombuffer(chunk.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
        counts += np.bincount(codes, minlength=len(counts))
    counts[ord(SPACE)] += counts[ord(" ")]
    counts[ord(" ")] = 0
    return Counter({chr(code): int(counts[code]) for code in np.flatnonzero(counts)})


def _most_common(counts: Counter[str], most: int) -> list[str]:
    """The most frequent entries, the alphabet deciding between equals."""
    return sorted(counts, key=lambda entry: (-counts[entry], entry))[:most]


def _vocabulary(special: list[str], tokens: list[str]) -> dict[str, int]:
    return {token: place for place, token in enumerate([*special, *tokens])}


def _word_library(special: list[str], words: list[str]) -> tokenizers.Tokenizer:
    library = tokenizers.Tokenizer(models.WordLevel(_vocabulary(special, words), unk_token=SPECIAL_TOKENS[UNKNOWN]))
    library.normalizer = normalizers.NFC()
    library.pre_tokenizer = pre_tokenizers.CharDelimiterSplit(" ")
    return library  # without a decoder the library joins tokens with spaces


def _character_library(special: list[str], characters: list[str]) -> tokenizers.Tokenizer:
    library = tokenizers.Tokenizer(
        models.WordLevel(_vocabulary(special, characters), unk_token=SPECIAL_TOKENS[UNKNOWN])
    )
    library.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Replace(" ", SPACE)])
    library.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    library.decoder = decoders.Sequence([decoders.Replace(SPACE, " "), decoders.Fuse()])
    return library


def _subword_library(config: TokenizerConfig, texts: list[str], characters: Counter[str]) -> tokenizers.Tokenizer:
    """``bpe``, ``unigram`` and ``wordpiece``; the last is learnt as the first and applied otherwise, as usual."""
    characters[SPACE] += sum(characters.values())  # every text starts with one, so it is never the one left out
    room = config.vocabulary - len(config.special)
    alphabet = _most_common(characters, room)
    if len(alphabet) < len(characters):
        rare = str.maketrans(dict.fromkeys(set(characters) - set(alphabet)))
        texts = [text.translate(rare) for text in texts]

    unknown = SPECIAL_TOKENS[UNKNOWN]
    library = tokenizers.Tokenizer(models.BPE(unk_token=unknown))
    library.normalizer = normalizers.NFC()
    split_words = [pre_tokenizers.Metaspace(SPACE, "always"), pre_tokenizers.Split(_ONE_BY_ONE, "isolated")]
    library.pre_tokenizer = pre_tokenizers.Sequence(split_words)
    library.decoder = decoders.Metaspace(SPACE, "always")
    trainer = trainers.BpeTrainer(
        vocab_size=config.vocabulary * (_UNIGRAM_SEEDS if config.kind == "unigram" else 1),
        special_tokens=config.special,
        min_frequency=2,
        max_token_length=LONGEST_PIECE,
        show_progress=False,
    )
    library.train_from_iterator(texts, trainer, length=len(texts))

    if config.kind == "unigram":
        words: Counter[str] = Counter()
        for word, count in Counter(word for text in texts for word in text.split(" ")).items():
            for piece, _ in library.pre_tokenizer.pre_tokenize_str(word):
                words[piece] += count
        seeds = [piece for piece in library.get_vocab() if piece not in config.special]
        pieces = learn_unigram(words, sorted(seeds), alphabet, room)
        special = [(token, 0.0) for token in config.special]
        library.model = models.Unigram([*special, *pieces], UNKNOWN, False)
    elif config.kind == "wordpiece":
        library.model = models.WordPiece(
            library.get_vocab(),
            unk_token=unknown,
            max_input_chars_per_word=_WORDPIECE_SPAN,
            continuing_subword_prefix="",
        )
        library.pre_tokenizer = pre_tokenizers.Sequence([*split_words, *_wordpiece_spans(alphabet)])
    return library


def _wordpiece_spans(alphabet: list[str]) -> list[pre_tokenizers.PreTokenizer]:
    """An unknown character apart, or the library would call the whole word unknown; and nothing too long."""
    known = "".join(f"\\x{{{ord(character):x}}}" for character in alphabet)
    return [
        pre_tokenizers.Split(Regex(f"[^{known}]"), "isolated"),
        pre_tokenizers.Split(Regex(rf"[\s\S]{{1,{_WORDPIECE_SPAN}}}"), "isolated"),
    ]
