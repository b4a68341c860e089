"""What sentence-transformers puts beside a checkpoint is done, or refused."""

import json

import pytest
import torch
from test_import import with_tokenizer

from henkan.errors import FolderError
from henkan.importing import import_checkpoint
from henkan.interop.sentence_vectors import SentenceVectors, read_sentence_vectors
from henkan.model import load_any, verify
from henkan.tensors import Tokens

PARTS = ["Transformer", "Pooling", "Normalize"]


def put(folder, pooling=None, reading=None, parts=None, place="1_Pooling"):
    """The files that are given."""
    if pooling is not None:
        (folder / place).mkdir(parents=True)
        modes = {f"pooling_mode_{name}": name in pooling for name in ("cls_token", "mean_tokens", "max_tokens")}
        (folder / place / "config.json").write_text(json.dumps({"word_embedding_dimension": 8, **modes}))
    if reading is not None:
        (folder / "sentence_bert_config.json").write_text(json.dumps(reading))
    if parts is not None:
        listed = [
            {"idx": number, "path": "" if kind == "Transformer" else f"{number}_{kind}", "type": f"any.models.{kind}"}
            for number, kind in enumerate(parts)
        ]
        (folder / "modules.json").write_text(json.dumps(listed))
    return folder


def test_the_first_token_and_how_much_is_read(tmp_path):
    theirs = with_tokenizer("bert", tmp_path / "theirs")
    put(theirs, ["cls_token"], {"max_seq_length": 9, "do_lower_case": False}, PARTS)
    model = import_checkpoint(theirs, tmp_path / "ours")
    assert (model.config.pooling, model.config.length) == ("first", 9)
    loaded = load_any(tmp_path / "ours")
    vectors = loaded.vectors(["abc", "d"])
    source = model.config.lines(model.network, model.tokenizers).vectors.reader.read([("abc", None)])[0][0]
    ids = torch.from_numpy(source)[None]
    with torch.inference_mode():
        states = model.network.encode(Tokens(ids, ids >= 0, torch.zeros_like(ids))).states
    torch.testing.assert_close(vectors[:1], torch.nn.functional.normalize(states[:, 0], dim=-1))
    printed = [float(number) for number in loaded.predict(["abc"])[0].split(" ")]
    torch.testing.assert_close(torch.tensor(printed), vectors[0], rtol=0.0, atol=1e-6)
    assert "4 of 4" in verify(tmp_path / "ours")[-1]


def test_the_mean_where_it_is_said_and_where_nothing_is(tmp_path):
    assert read_sentence_vectors(tmp_path) == SentenceVectors("mean", None)
    put(tmp_path, ["mean_tokens"], {"max_seq_length": None}, PARTS)
    assert read_sentence_vectors(tmp_path) == SentenceVectors("mean", None)


def test_more_than_there_are_places(tmp_path):
    theirs = put(with_tokenizer("bert", tmp_path / "theirs"), reading={"max_seq_length": 300})
    assert import_checkpoint(theirs, tmp_path / "ours").config.length == 12


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"pooling": ["max_tokens"]}, r"1_Pooling/config.json: pooling by max_tokens; expected one of mean_tokens"),
        ({"pooling": ["cls_token", "mean_tokens"]}, "pooling by cls_token and mean_tokens; expected one of"),
        ({"pooling": []}, "pooling by nothing; expected one of"),
        ({"parts": ["Transformer", "Pooling", "Dense"]}, "a part Dense makes the vectors, and no part of ours does"),
        ({"reading": {"do_lower_case": True}}, "do_lower_case is true; if tokenizer.json makes letters small itself"),
        ({"reading": {"max_seq_length": "long"}}, "max_seq_length is 'long'; expected a whole number"),
        ({"reading": []}, "sentence_bert_config.json: expected settings by name"),
    ],
)
def test_what_no_part_of_ours_does(files, message, tmp_path):
    put(tmp_path, **files)
    with pytest.raises(FolderError, match=message):
        read_sentence_vectors(tmp_path)


@pytest.mark.parametrize("listed", [{}, ["Pooling"], [{"type": "Pooling", "path": "../1_Pooling"}]])
def test_a_list_of_parts_that_leads_elsewhere(listed, tmp_path):
    (tmp_path / "modules.json").write_text(json.dumps(listed))
    with pytest.raises(FolderError, match=r"expected a list of parts|expected the name of a folder in this one"):
        read_sentence_vectors(tmp_path)
