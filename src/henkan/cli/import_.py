"""``henkan import``: a checkpoint of Hugging Face transformers as a model of ours."""

from pathlib import Path
from typing import Annotated

import typer


def import_(
    folder: Annotated[Path, typer.Argument(help="A checkpoint: config.json, safetensors, tokenizer.json.")],
    output: Annotated[Path, typer.Argument(help="The model folder to write; it must be empty or not there yet.")],
) -> None:
    """Make a model folder of a BERT, RoBERTa, DeBERTa-v2, GPT-2, T5, BART or Marian checkpoint."""
    from henkan.importing import import_checkpoint

    model = import_checkpoint(folder, output)
    numbers = sum(parameter.numel() for parameter in model.network.parameters())
    task = model.config.task.replace("_", " ")
    typer.echo(f"{output}: a model for {task}, {numbers:,} parameters, {model.tokenizers[0].size:,} tokens")
