"""Small tokenizer.json files as the reference library's models have them, special tokens at their places."""

from __future__ import annotations

from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

TEXTS = [
    "A man is eating food, and the food is good.",
    "Nobody knows how many people live in the city today.",
    "The weather was lovely; the children played at the river until dark!",
    "She reads <s>old</s> books about birds, bread and boats.",
]
"""What they are learnt from; some of it looks like special tokens, and is text."""


def wordpiece() -> Tokenizer:
    """As BERT's: [PAD] first, [UNK], [CLS], [SEP] and [MASK] behind a gap of unused tokens."""
    special = ["[PAD]", "[unused0]", "[unused1]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    library = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    library.normalizer = normalizers.BertNormalizer(lowercase=True)
    library.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    library.decoder = decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(vocab_size=120, special_tokens=special, show_progress=False)
    library.train_from_iterator(TEXTS, trainer)
    library.post_processor = processors.BertProcessing(("[SEP]", 5), ("[CLS]", 4))
    library.enable_truncation(16)
    library.enable_padding()
    return library


def _bytes(special: list[str]) -> Tokenizer:
    library = Tokenizer(models.BPE())
    library.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    library.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    library.train_from_iterator(TEXTS, trainer)
    return library


def roberta() -> Tokenizer:
    """As RoBERTa's and BART's."""
    library = _bytes(["<s>", "<pad>", "</s>", "<unk>"])
    library.add_special_tokens([AddedToken("<mask>", lstrip=True)])
    library.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
    return library


def gpt2() -> Tokenizer:
    """As GPT-2's: one special token, the last."""
    library = _bytes([])
    library.add_special_tokens(["<|endoftext|>"])
    library.post_processor = processors.ByteLevel(trim_offsets=False)
    return library


def _unigram(special: list[str], unknown: str) -> Tokenizer:
    library = Tokenizer(models.Unigram())
    library.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")])
    library.pre_tokenizer = pre_tokenizers.Metaspace("▁", "always")
    library.decoder = decoders.Metaspace("▁", "always")
    trainer = trainers.UnigramTrainer(vocab_size=90, special_tokens=special, unk_token=unknown, show_progress=False)
    library.train_from_iterator(TEXTS, trainer)
    return library


def deberta() -> Tokenizer:
    """As DeBERTa's: the mask is an added token behind all others."""
    library = _unigram(["[PAD]", "[CLS]", "[SEP]", "[UNK]"], "[UNK]")
    library.add_special_tokens(["[MASK]"])
    library.post_processor = processors.TemplateProcessing(
        single="[CLS]:0 $A:0 [SEP]:0",
        pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 1), ("[SEP]", 2)],
    )
    return library


def t5() -> Tokenizer:
    """As T5's: sentinels count down to the end."""
    library = _unigram(["<pad>", "</s>", "<unk>"], "<unk>")
    library.add_special_tokens([f"<extra_id_{number}>" for number in reversed(range(5))])
    library.post_processor = processors.TemplateProcessing(
        single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 1)]
    )
    return library


def marian() -> Tokenizer:
    """As Marian's: padding is last."""
    library = _unigram(["</s>", "<unk>"], "<unk>")
    library.add_special_tokens(["<pad>"])
    library.post_processor = processors.TemplateProcessing(
        single="$A </s>", pair="$A $B </s>", special_tokens=[("</s>", 0)]
    )
    return library


def spm(folder: Path, ids: dict[str, int], scores: dict[str, float], kind: int = 1) -> None:
    """Write source.spm and target.spm as SentencePiece would, the second without the last piece."""
    import struct

    def field(number: int, content: bytes) -> bytes:
        assert len(content) < 128 * 128
        size = len(content)
        return bytes([number << 3 | 2, *([size] if size < 128 else [size & 127 | 128, size >> 7])]) + content

    def piece(name: str, score: float) -> bytes:
        special = {"<unk>": 2, "</s>": 3, "<s>": 3}.get(name, 1)
        return field(1, field(1, name.encode()) + b"\x15" + struct.pack("<f", score) + bytes([3 << 3, special]))

    trainer = field(2, bytes([3 << 3, kind]))
    for side, names in (("source", list(scores)), ("target", list(scores)[:-1])):
        content = b"".join(piece(name, scores[name]) for name in names)
        (folder / f"{side}.spm").write_bytes(content + trainer + field(3, field(1, b"identity")))
    assert set(scores) - {"<s>"} <= set(ids)
