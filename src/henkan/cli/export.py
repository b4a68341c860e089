"""``henkan export``: a trained model for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from henkan.errors import ConfigError

FORMATS = ("hf", "ctranslate2", "onnx")


def export(
    model: Annotated[Path, typer.Argument(help="A model folder, or a run folder.")],
    output: Annotated[Path, typer.Argument(help="The folder to write; it must be empty or not there yet.")],
    to: Annotated[
        str,
        typer.Option(
            help="hf: a checkpoint for Hugging Face transformers, of any task. ctranslate2: a Transformer translator "
            "for CTranslate2. onnx: graphs of an encoder, of a step of a decoder, or of both, of any family."
        ),
    ],
    quantisation: Annotated[
        str, typer.Option("--quantisation", help="Weights of a ctranslate2 model: float32, float16, int8, ...")
    ] = "float32",
) -> None:
    """Write a model for other programs, and check there that it still says the same."""
    from henkan import exporting
    from henkan.interop.outgoing import check_free
    from henkan.model import load, load_any

    if to not in FORMATS:
        raise ConfigError(f"--to {to}: expected one of {', '.join(FORMATS)}")
    if quantisation != "float32" and to != "ctranslate2":
        raise ConfigError(f"--quantisation {quantisation} is for --to ctranslate2 only; leave it out")
    check_free(output)
    if to == "ctranslate2":
        found = exporting.to_ctranslate2(load(model), exporting.examples(model), output, quantisation)
    elif to == "onnx":
        found = exporting.to_onnx(load_any(model), exporting.examples(model), output)
    else:
        found = exporting.to_hf(load_any(model), output)
    typer.echo(f"{output}: {found}")
