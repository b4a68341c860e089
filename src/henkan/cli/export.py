"""``henkan export``: a trained model for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from henkan.errors import ConfigError

if TYPE_CHECKING:
    from henkan.model import Model

FORMATS = ("hf", "ctranslate2", "onnx")


def export(
    model: Annotated[Path, typer.Argument(help="A model folder, or a run folder.")],
    output: Annotated[Path, typer.Argument(help="The folder to write; it must be empty or not there yet.")],
    to: Annotated[
        str,
        typer.Option(
            help="hf: a checkpoint for Hugging Face transformers. ctranslate2: a Transformer translator for "
            "CTranslate2. onnx: graphs of an encoder and of a step of its decoder, of any family."
        ),
    ],
    quantisation: Annotated[
        str, typer.Option("--quantisation", help="Weights of a ctranslate2 model: float32, float16, int8, ...")
    ] = "float32",
) -> None:
    """Write a model for other programs, and check there that it still says the same."""
    from henkan.interop.outgoing import check_free
    from henkan.model import load

    if to not in FORMATS:
        raise ConfigError(f"--to {to}: expected one of {', '.join(FORMATS)}")
    if quantisation != "float32" and to != "ctranslate2":
        raise ConfigError(f"--quantisation {quantisation} is for --to ctranslate2 only; leave it out")
    check_free(output)
    write = {"hf": _hf, "ctranslate2": _ctranslate2, "onnx": _onnx}[to]
    found = write(load(model), _examples(model), output, quantisation)
    typer.echo(f"{output}: {found}")


def _hf(model: Model, examples: list[str], output: Path, quantisation: str) -> str:
    from henkan.interop import write
    from henkan.interop.outgoing import new_folder
    from henkan.tasks.preparation import save_tokenizers
    from henkan.text.tokenizer import END, PAD, START

    with new_folder(output) as building:
        special = {"pad": PAD, "bos": START, "eos": END, "decoder_start": START}
        family = write(building, model.config.model, model.network, special_ids=special)
        save_tokenizers(model.tokenizers, building)
    return f"a {family} checkpoint, float32"


def _ctranslate2(model: Model, examples: list[str], output: Path, quantisation: str) -> str:
    from henkan.interop import ctranslate2
    from henkan.interop.outgoing import new_folder

    config = ctranslate2.check(model.config.model, model.config.data.reverse_source, quantisation)
    expected = [found[0] for found in model.plain_translator().predict(examples, options=model.options(1))]
    with new_folder(output) as building:
        ctranslate2.write(building, config, model.network, model.tokenizers, quantisation)
        return ctranslate2.compare(building, model.tokenizers, examples, expected, quantisation)


def _onnx(model: Model, examples: list[str], output: Path, quantisation: str) -> str:
    from henkan.interop import onnx
    from henkan.interop.outgoing import new_folder
    from henkan.tasks.preparation import save_tokenizers
    from henkan.text.tokenizer import END

    onnx.check(model.config.model)
    reverse = model.config.data.reverse_source
    sources = model.translator().encode(examples)
    with new_folder(output) as building:
        onnx.write(building, model.network, {"reverse_source": reverse})
        save_tokenizers(model.tokenizers, building)
        return onnx.compare(building, model.network, [[*source[:: -1 if reverse else 1], END] for source in sources])


def _examples(model: Path) -> list[str]:
    """The inputs of the model's self-test."""
    from henkan.folder import read_json

    place = model if (model / "selftest.json").exists() else model / "model"
    return list(map(str, read_json(place / "selftest.json")["inputs"]))
