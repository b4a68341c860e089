"""Somebody else's checkpoint to a model folder of ours, with which every command works.

config.json, safetensors --(interop.read)--> config, weights --(renumber)--> our ids --(recipe by heads)--> model folder
tokenizer.json --(text.renumbering)--> tokenizer

Which task the model has is told by what stands on top of it: labels of texts, labels of words, answers, choices; masks,
the next token; an encoder with nothing on top gives vectors. T5 and BART are models of text, from which pairs and more
pretraining go on, where one table serves all sides and the vocabulary has sentinels or a mask; otherwise they are
models of pairs, as Marian is.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

from torch import Tensor

from henkan import interop, presets
from henkan.errors import ConfigError, DataError, FolderError
from henkan.folder import read_json
from henkan.interop.outgoing import check_free
from henkan.interop.sentence_vectors import read_sentence_vectors
from henkan.interop.sentencepiece import read_marian
from henkan.model import TrainedModel, assemble, save
from henkan.models.encoder_decoder import EncoderDecoderConfig
from henkan.models.encoder_only import EncoderOnlyConfig
from henkan.models.outline import fill
from henkan.models.sizes import Size
from henkan.nn.places import LearnedConfig
from henkan.nn.text_heads import ChoiceHeadConfig, ClassHeadConfig, LabelHeadConfig, MaskedHeadConfig, ValueHeadConfig
from henkan.nn.transformer import TransformerSizes
from henkan.presets import families
from henkan.recipe import read_recipe
from henkan.recipe.pretraining import USUAL_BUDGET
from henkan.settings import Layer
from henkan.tasks.survey import USUAL
from henkan.text.marks import Marks
from henkan.text.renumbering import NEVER, Renumbered, find_parts, read_library, renumber
from henkan.text.tokenizer import MASK
from henkan.text.vocabulary import settings_of

log = logging.getLogger("henkan")

LONGEST, LONGEST_PAIR, LONGEST_WINDOW = 512, 256, 384
"""Tokens of a text where the model has any number of places; of each side of a pair; and of a question with a window of
its passage: the last two fewer where the model has fewer places."""

_PRESETS = {"deberta-v2": "deberta"}
_WIDTHS: dict[Size, int] = {"tiny": 128, "mini": 256, "small": 512, "base": 768}

_EXAMPLES = (
    "The weather is lovely today.",
    "She walked along the river until it became dark.",
    "How many people live in the capital of France?",
    "Nobody expected the price of bread to rise again.",
)


def import_checkpoint(folder: Path, output: Path) -> TrainedModel:
    """Write the model folder ``output`` with a self-test, and return the model.

    Args:
        folder: with config.json, weights in safetensors, and tokenizer.json; of a Marian also with the SentencePiece
            models that it is published with.
        output: a folder that is empty or not there.

    Raises:
        FolderError: something is missing, damaged, or of a kind that we have no part for; ``output`` is taken.
        ConfigError: no task of ours has such a model.
    """
    check_free(output)
    imported = _plain(interop.read(folder))
    _say_what_is_forced(imported, folder)
    sides = _vocabularies(imported, folder)
    network_config = imported.config
    weights = _renumbered(imported, sides)
    settings = _settings(imported, sides, folder)
    try:
        recipe = read_recipe([Layer(settings, f"the checkpoint in {folder}")])
    except ConfigError as error:
        raise ConfigError(f"{folder}: no task of ours has such a model:\n{error}") from error
    source, target = (side.tokenizer for side in sides)
    network = recipe.outline((source.size, target.size))
    fill(network, weights, folder)
    model = assemble(recipe, network.eval(), (source, source if sides[1] is sides[0] else target))
    save(model, output, _examples(recipe.task, network_config), _card(imported, recipe.task, folder.resolve().name))
    return model


def _say_what_is_forced(imported: interop.Imported, folder: Path) -> None:
    """Our search has nothing of the kind, so outputs differ where the model itself would begin otherwise."""
    place = folder / "generation_config.json"
    values = read_json(place) if place.is_file() else {}
    forced = values.get("forced_bos_token_id") if isinstance(values, dict) else None
    forced = imported.special_ids.get("forced_bos") if forced is None else forced
    if forced is not None:
        log.warning(
            "forced_bos_token_id %s: the reference library makes every output begin with that token; here the model "
            "chooses, so outputs may differ",
            forced,
        )


def _plain(imported: interop.Imported) -> interop.Imported:
    """The same without rows of places that nothing reads: RoBERTa counts from its padding, which is 0 from now on."""
    config = imported.config
    places = config.encoder.positions if isinstance(config, EncoderOnlyConfig) else None
    if not isinstance(places, LearnedConfig) or places.offset < 2 or not isinstance(config, EncoderOnlyConfig):
        return imported
    name = "encoder.positions.weight"
    kept = places.model_copy(update={"offset": 1})
    encoder = config.encoder.model_copy(update={"positions": kept})
    weights = {**imported.weights, name: imported.weights[name][places.offset - 1 :].contiguous()}
    return replace(imported, config=config.model_copy(update={"encoder": encoder}), weights=weights)


def _vocabularies(imported: interop.Imported, folder: Path) -> tuple[Renumbered, Renumbered]:
    """The source's and the target's; one object twice where they are one."""
    decodes = not isinstance(imported.config, EncoderOnlyConfig)
    if imported.tokenizer is not None:
        places, libraries = [imported.tokenizer], [read_library(imported.tokenizer)]
    elif imported.family == "marian":
        places, libraries = [folder / "source.spm", folder / "target.spm"], list(read_marian(folder))
    else:
        raise FolderError(
            f"{folder}: no tokenizer.json, so texts cannot become ids; in the library it comes from: "
            "AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER) writes one"
        )
    found = []
    for place, library, rows in zip(places, libraries, imported.vocabularies, strict=False):
        try:
            parts = find_parts(library, imported.special_ids, decodes=decodes, place=place)
            found.append(renumber(library, parts, rows, place))
        except DataError as error:
            raise FolderError(f"{place}: {error}") from error
    source, target = found[0], found[-1]
    if len(found) == 1 and imported.vocabularies[0] != imported.vocabularies[1]:
        raise FolderError(f"{folder}: two vocabularies, and one tokenizer.json; expected source.spm and target.spm")
    config = imported.config
    shared = isinstance(config, EncoderDecoderConfig) and config.tied in ("all", "inputs")
    if shared and source.rows != target.rows:
        raise FolderError(f"{folder}: the special tokens of source and target have different ids in one table")
    return source, target


def _renumbered(imported: interop.Imported, sides: tuple[Renumbered, Renumbered]) -> dict[str, Tensor]:
    """The weights with every row for a token in our order."""
    source, target = sides
    of = {"encoder.embedding.weight": source}
    of |= dict.fromkeys(("decoder.embedding.weight", "head.weight", "head.head.weight", "head.bias"), target)
    if isinstance(imported.config, EncoderOnlyConfig):
        for name, head in imported.config.heads.items():
            if isinstance(head, MaskedHeadConfig):
                of |= {f"heads.{name}.output.weight": source, f"heads.{name}.output.bias": source}
    weights = dict(imported.weights)
    for name in of.keys() & weights.keys():
        weights[name] = weights[name][list(of[name].rows)]
        if name.endswith("bias") and of[name].new:
            weights[name][list(of[name].new)] = NEVER
    return weights


def _settings(imported: interop.Imported, sides: tuple[Renumbered, Renumbered], folder: Path) -> dict[str, Any]:
    """The recipe of the model. Where its data was is not known: the path is that of the checkpoint."""
    config = imported.config
    family = families.find(_PRESETS.get(imported.family, imported.family))
    size = _size(imported)
    vocabularies = [settings_of(side.tokenizer) for side in sides]
    shared = {"preset": family.name, "size": size, "model": config.model_dump(mode="json")}
    if isinstance(config, EncoderDecoderConfig) and not _reads_text(config, family, sides[0].tokenizer.marks):
        joint = sides[0] is sides[1] or config.tied in ("all", "inputs")
        vocabulary = {"joint": joint, "source": vocabularies[0], **({} if joint else {"target": vocabularies[1]})}
        training = {**presets.find(family.name).sizes[size](USUAL)["training"], "budget": USUAL_BUDGET}
        longest = min(_room(imported), LONGEST_PAIR)
        return {
            **shared,
            "task": "pairs",
            "data": {"pairs": str(folder), "filters": {"max_length": longest - 1}},
            "vocabulary": vocabulary,
            "training": training,
            "decoding": {"max_length": longest},
        }
    shared["vocabulary"] = vocabularies[0]
    if isinstance(config, EncoderOnlyConfig) and "tokens" not in config.heads:
        return _task_settings(imported, config, shared, family.classification(size, True)["training"], folder)
    said = {
        "task": "pretraining",
        "data": {"text": str(folder)},
        "reading": dict(family.reading or {}),
        "length": _room(imported, besides=1 if isinstance(config, EncoderDecoderConfig) else 0),  # END
        "training": {**family.pretraining(size)["training"], "budget": USUAL_BUDGET},
    }
    if isinstance(config, EncoderOnlyConfig):
        said["reading"] = {"kind": "masked", "next_sentence": "next" in config.heads}
    return {**shared, **said}


def _reads_text(config: EncoderDecoderConfig, family: families.Family, marks: Marks) -> bool:
    """Whether more pretraining can go on from it: one table serves all sides, and its vocabulary can hide tokens."""
    kind = (family.reading or {}).get("kind")
    hides = {"spans": bool(marks.sentinels), "denoising": marks.mask is not None}
    return config.tied == "all" and hides.get(str(kind), False)


def _task_settings(
    imported: interop.Imported,
    config: EncoderOnlyConfig,
    shared: Mapping[str, Any],
    training: Mapping[str, Any],
    folder: Path,
) -> dict[str, Any]:
    """Of an encoder that was fine-tuned, by its head; or that has none."""
    length = _room(imported)
    head = next(iter(config.heads.values()), None)
    data = {"train": str(folder)}
    more: dict[str, Any]
    match head:
        case None:
            said = read_sentence_vectors(folder)
            length = length if said.longest is None else min(length, said.longest)
            return {**shared, "task": "vectors", "pooling": said.pooling, "length": length}
        case ClassHeadConfig():
            more = {"task": "classification", "labels": _labels(imported, head.classes), "scores": ["accuracy"]}
        case ValueHeadConfig():
            more = {"task": "classification", "labels": [], "scores": ["pearson"]}
        case LabelHeadConfig():
            more = {"task": "tagging", "labels": _labels(imported, head.labels)}
        case ChoiceHeadConfig():
            more = {"task": "multiple_choice"}
        case _:
            part = max(1, min(length, LONGEST) // 4)
            more = {"task": "question_answering", "stride": part, "longest_question": part}
            length = min(length, LONGEST_WINDOW)
    return {**shared, **more, "data": data, "length": length, "training": dict(training)}


def _labels(imported: interop.Imported, count: int) -> list[str]:
    return (
        imported.labels if imported.labels and len(imported.labels) == count else [f"LABEL_{n}" for n in range(count)]
    )


def _size(imported: interop.Imported) -> Size:
    """The published size that is nearest in width; fine-tuning takes its learning rate from it."""
    config = imported.config
    width = config.decoder.width if config.kind == "decoder_only" else config.encoder.sizes[0]
    return min(get_args(Size), key=lambda size: abs(_WIDTHS[size] - width))


def _room(imported: interop.Imported, besides: int = 0) -> int:
    """Tokens of a text, at most: as many as there are places, ``besides`` so many that are not counted."""
    config = imported.config
    stack = config.decoder if config.kind == "decoder_only" else config.encoder
    assert isinstance(stack, TransformerSizes)
    room = stack.positions.room
    return LONGEST if room is None else room - besides


def _examples(task: str, config: Any) -> Sequence[str]:
    """Inputs for the self-test, as a line of the task is."""
    match task:
        case "question_answering":
            said = {"question": _EXAMPLES[2], "context": f"{_EXAMPLES[0]} {_EXAMPLES[1]} {_EXAMPLES[3]}"}
            return [json.dumps(said)]
        case "multiple_choice":
            return ["\t".join(_EXAMPLES), "\t".join(reversed(_EXAMPLES))]
        case "pretraining" if isinstance(config, EncoderOnlyConfig):
            return [*_EXAMPLES[:2], f"The weather is {MASK} today.", f"{MASK} many people live in {MASK}?"]
    return _EXAMPLES


def _card(imported: interop.Imported, task: str, name: str) -> str:
    return f"""# {name}

A {imported.family} checkpoint of the reference library, imported by Henkan. On what it was trained is for those to say
who trained it; the path under `data` in `config.yaml` is that of the checkpoint, and trains nothing.

| | |
| --- | --- |
| task | {task.replace("_", " ")} |
| vocabulary | {imported.vocabularies[0]:,} |

Use it: `henkan predict FOLDER input.txt`; check it: `henkan verify FOLDER`; go on from it: `start: FOLDER` in a recipe;
write it for the other library again: `henkan export FOLDER OUTPUT --to hf`.
"""
