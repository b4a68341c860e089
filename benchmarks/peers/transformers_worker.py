"""Pre-trains a BERT with ``transformers.Trainer``; run by the interpreter of that peer, which has no Henkan.

    python transformers_worker.py WORKLOAD OUTPUT --precision fp32 --rows 32

WORKLOAD is what ``pretraining.py`` writes. After each update a line tells the real tokens that were collated for it,
marks counted and padding not. The model is ``BertForPreTraining`` in the sizes of the workload, the noise is
``DataCollatorForLanguageModeling``'s: 15 % of the tokens, 80/10/10, drawn anew each time. Texts come with marks,
segments and the mask of special tokens, so that nothing of that is left to do.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from transformers import (
    BertConfig,
    BertForPreTraining,
    DataCollatorForLanguageModeling,
    PreTrainedTokenizerFast,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)


class Texts(torch.utils.data.Dataset):
    """The examples of the workload, as the collator wants them."""

    def __init__(self, folder: Path, special: int) -> None:
        """``special``: ids below this one are never masked."""
        self.ids, self.segments, self.ends, self.next = (
            np.load(folder / f"{name}.npy") for name in ("ids", "segments", "ends", "next")
        )
        self.special = special

    def __len__(self) -> int:
        return len(self.next)

    def __getitem__(self, index: int) -> dict[str, object]:
        part = slice(self.ends[index], self.ends[index + 1])
        ids = self.ids[part]
        return {
            "input_ids": ids,
            "token_type_ids": self.segments[part],
            "attention_mask": np.ones_like(ids),
            "special_tokens_mask": (ids < self.special).astype(np.int64),
            "next_sentence_label": int(self.next[index]),
        }


class Told(TrainerCallback):
    """Collates, and says after each update how many tokens were learnt from."""

    def __init__(self, collate) -> None:
        self.collate = collate
        self.tokens = 0

    def __call__(self, examples: list[dict[str, object]]) -> dict[str, torch.Tensor]:
        self.tokens += sum(len(example["input_ids"]) for example in examples)
        return self.collate(examples)

    def on_step_end(self, *_: object, **__: object) -> None:
        print(f"learnt from {self.tokens} tokens", flush=True)
        self.tokens = 0


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("workload", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--precision", choices=("fp32", "bf16"), required=True)
    parser.add_argument("--attention", choices=("sdpa", "eager"), default="sdpa")
    parser.add_argument("--sampling", default="random", help="train_sampling_strategy of TrainingArguments")
    parser.add_argument("--rows", type=int, required=True, help="of a batch")
    given = parser.parse_args()
    facts = json.loads((given.workload / "facts.json").read_text(encoding="utf-8"))
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_file=str(given.workload / "tokenizer.json"), pad_token="<pad>", mask_token="<mask>"
    )
    texts = Texts(given.workload, facts["special"])
    torch.manual_seed(1)
    model = BertForPreTraining(BertConfig(**facts["model"], attn_implementation=given.attention))
    told = Told(DataCollatorForLanguageModeling(tokenizer))
    arguments = TrainingArguments(
        output_dir=str(given.output),
        per_device_train_batch_size=given.rows,
        max_steps=1_000_000,
        learning_rate=1e-3,
        adam_beta2=0.98,
        weight_decay=0.01,
        warmup_steps=200,
        max_grad_norm=1.0,
        bf16=given.precision == "bf16",
        use_cpu=True,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        remove_unused_columns=False,
        train_sampling_strategy=given.sampling,
    )
    Trainer(model, arguments, train_dataset=texts, data_collator=told, callbacks=[told]).train()


if __name__ == "__main__":
    main()
