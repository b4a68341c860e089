"""A trained model for other programs, checked there before it is kept.

hf            a checkpoint that the reference library loads, of any task whose network it has
ctranslate2   a Transformer that translates
onnx          graphs that need neither us nor torch, of any network
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tokenizers
import torch
from tokenizers import processors

from henkan import interop
from henkan.data.prefixed import prefixed
from henkan.errors import ConfigError, RunError
from henkan.folder import new_folder, read_json
from henkan.interop.outgoing import check_free
from henkan.interop.weights import save_json
from henkan.model import LineModel, Model, TrainedModel
from henkan.models.decoder_only import DecoderOnlyConfig
from henkan.models.encoder_only import EncoderOnlyConfig
from henkan.tasks.preparation import save_tokenizers
from henkan.tasks.pretraining import paired
from henkan.text.normalise import normalise
from henkan.text.tokenizer import END, MASK, PAD, SENTINEL, SPECIAL_TOKENS, START, UNKNOWN, Tokenizer


def examples(place: Path) -> list[str]:
    """The inputs of a model's self-test; ``place`` is a model folder or a run folder."""
    place = place if (place / "selftest.json").exists() else place / "model"
    return list(map(str, read_json(place / "selftest.json")["inputs"]))


def to_hf(model: TrainedModel, output: Path) -> str:
    """Write a checkpoint with its tokenizer; what was written, in words.

    Raises:
        ConfigError: the reference library has no such model; says what differs.
        FolderError, StorageError: ``output`` is taken, or cannot be written.
        RunError: what was written does not read as the same weights.
    """
    config = _network_config(model)
    if isinstance(model, Model) and model.config.data.reverse_source:
        raise ConfigError("data.reverse_source: true; the reference library reads sources as they are. Nothing written")
    special = {"pad": PAD, "bos": START, "eos": END}
    decodes = not isinstance(config, EncoderOnlyConfig)
    if decodes and not isinstance(config, DecoderOnlyConfig):
        special["decoder_start"] = START
    labels = list(getattr(model.config, "labels", ())) or None
    check_free(output)
    with new_folder(output) as building:
        family = interop.write(building, config, model.network, special_ids=special, labels=labels)
        _save_tokenizers(model.tokenizers, config, building)
        if decodes:
            ids = {f"{name}_token_id": value for name, value in special.items()}
            save_json(building / "generation_config.json", {**ids, "suppress_tokens": [PAD, START]})
        again = interop.read(building).weights
        here = dict(model.network.named_parameters())
        if wrong := [name for name, weight in again.items() if not torch.equal(weight, here[name].float())]:
            raise RunError(f"{output}: weight {wrong[0]} is not what was written; the disk may be damaged")
    without = "".join(f"; without heads.{name}: that format has no mask decoder" for name in interop.left_out(config))
    return f"a {family} checkpoint, float32, {len(again)} weights read back equal{without}"


def to_ctranslate2(model: Model, inputs: Sequence[str], output: Path, quantisation: str) -> str:
    """Write a CTranslate2 model and translate with it; what was found, in words.

    Raises:
        ConfigError: CTranslate2 has no such model, or is not installed.
        RunError: it gives other scores.
    """
    from henkan.interop import ctranslate2

    config = ctranslate2.check(model.config.model, model.config.data.reverse_source, quantisation)
    expected = [found[0] for found in model.plain_translator().predict(inputs, options=model.options(1))]
    check_free(output)
    with new_folder(output) as building:
        ctranslate2.write(building, config, model.network, model.tokenizers, quantisation)
        read = [prefixed(text, model.config.data.prefix) for text in inputs]
        return ctranslate2.compare(building, model.tokenizers, read, expected, quantisation)


def to_onnx(model: TrainedModel, inputs: Sequence[str], output: Path) -> str:
    """Write graphs and run them; what was found, in words.

    Raises:
        ConfigError: a part cannot become a graph, or the exporter is not installed.
        RunError: the graphs give other numbers.
    """
    from henkan.interop import onnx

    config: Any = _network_config(model)
    onnx.check(config)
    reverse = isinstance(model, Model) and model.config.data.reverse_source
    network: Any = model.network
    check_free(output)
    with new_folder(output) as building:
        onnx.write(building, network, {"reverse_source": reverse} if isinstance(model, Model) else None)
        save_tokenizers(model.tokenizers, building)
        return onnx.compare(building, network, _as_read(model, inputs, reverse))


def _network_config(model: TrainedModel) -> Any:
    """Every recipe has one; which kind depends on the task."""
    return model.config.model


def _as_read(model: TrainedModel, inputs: Sequence[str], reverse: bool) -> list[list[int]]:
    """The inputs as ids with their marks, as the network reads them."""
    rows = model.tokenizers[0].encode([normalise(text) for text in inputs])
    if isinstance(model, LineModel):
        room = model.config.length - 2  # type: ignore[attr-defined]
        rows = [row[:room] for row in rows]
    if isinstance(_network_config(model), EncoderOnlyConfig):
        marks = model.tokenizers[0].marks
        return [paired(torch.tensor(row, dtype=torch.int64).numpy(), None, marks)[0].tolist() for row in rows]
    return [[*row[:: -1 if reverse else 1], END] for row in rows]


def _save_tokenizers(sides: tuple[Tokenizer, Tokenizer], config: Any, folder: Path) -> None:
    """The tokenizers as the reference library takes them: with what stands around a text, and with roles for tokens."""
    save_tokenizers(sides, folder)
    for path in folder.glob("tokenizer*.json"):
        library = tokenizers.Tokenizer.from_file(str(path))
        if library.post_processor is None:
            library.post_processor = _around(config)
            path.write_text(library.to_str(pretty=True), encoding="utf-8")
    pad, unknown, start, end = (SPECIAL_TOKENS[number] for number in (PAD, UNKNOWN, START, END))
    marks = sides[0].marks
    names = ["input_ids", "attention_mask"]
    roles = {"pad_token": pad, "unk_token": unknown, "bos_token": start, "eos_token": end}
    if isinstance(config, EncoderOnlyConfig):
        roles |= {"cls_token": start, "sep_token": end}
        if config.encoder.segments > 1:
            names = ["input_ids", "token_type_ids", "attention_mask"]
    if marks.mask is not None:
        roles["mask_token"] = MASK
    said: dict[str, Any] = {"tokenizer_class": "PreTrainedTokenizerFast", **roles, "model_input_names": names}
    said["clean_up_tokenization_spaces"] = False
    if marks.sentinels:
        said["extra_special_tokens"] = [SENTINEL.format(number) for number in range(len(marks.sentinels))]
    text = json.dumps(said, indent=2, ensure_ascii=False) + "\n"
    (folder / "tokenizer_config.json").write_text(text, encoding="utf-8")


def _around(config: Any) -> processors.TemplateProcessing:
    """What our batches put around texts, in the library's words."""
    start, end = SPECIAL_TOKENS[START], SPECIAL_TOKENS[END]
    if isinstance(config, DecoderOnlyConfig):
        return processors.TemplateProcessing(
            single=f"{start} $A", pair=f"{start} $A $B", special_tokens=[(start, START)]
        )
    if not isinstance(config, EncoderOnlyConfig):
        return processors.TemplateProcessing(single=f"$A {end}", pair=f"$A $B {end}", special_tokens=[(end, END)])
    second = 1 if config.encoder.segments > 1 else 0
    return processors.TemplateProcessing(
        single=f"{start} $A {end}",
        pair=f"{start} $A {end} $B:{second} {end}:{second}",
        special_tokens=[(start, START), (end, END)],
    )
