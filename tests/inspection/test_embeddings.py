"""Principal components against the eigenvectors of the covariance; sentence vectors that padding does not touch."""

import numpy as np
import pytest
import torch

import zoo
from henkan.errors import DataError
from henkan.inspection.embeddings import PARAPHRASES, neighbours, pooled, principal_plane, read_groups, sentence_vectors
from henkan.text.learning import learn
from henkan.text.tokenizer import TokenizerConfig
from henkan.tree import leaves

WORDS = "ka mo ri su te no hi wa yo"
SENTENCES = ["ka mo ri su te", "mo", "yo wa", "ri ri ri ri ri ri", "te no"]


def test_the_plane_is_that_of_the_largest_eigenvectors():
    vectors = np.random.default_rng(2).normal(size=(9, 6)) * [5, 1, 3, 0.5, 0.2, 0.1]
    plane = principal_plane(vectors)
    centred = vectors - vectors.mean(0)
    variances, directions = np.linalg.eigh(np.cov(centred.T))
    np.testing.assert_allclose(np.abs(plane.points), np.abs(centred @ directions[:, [-1, -2]]), atol=1e-12)
    np.testing.assert_allclose(plane.explained, variances[[-1, -2]] / variances.sum())


def test_the_same_vectors_give_the_same_map_whatever_sign_the_library_chooses():
    vectors = np.random.default_rng(3).normal(size=(7, 4))
    mirrored = principal_plane(-vectors)
    np.testing.assert_allclose(mirrored.points, -principal_plane(vectors).points, atol=1e-12)


@pytest.mark.parametrize("vectors", [np.ones((4, 3)), np.arange(4.0)[:, None]])
def test_fewer_than_two_directions_leave_zeros(vectors):
    plane = principal_plane(vectors)
    assert plane.points.shape == (4, 2)
    np.testing.assert_allclose(plane.points[:, 1], 0, atol=1e-12)
    assert np.isfinite(plane.explained).all()


@pytest.mark.parametrize("name", zoo.CONFIGS)
def test_every_encoder_gives_vectors_that_do_not_depend_on_the_batch(name):
    torch.manual_seed(6)
    model = zoo.build(zoo.CONFIGS[name])
    tokenizer = learn(TokenizerConfig(kind="word", vocabulary=zoo.VOCABULARY), [WORDS])
    together = sentence_vectors(model, tokenizer, SENTENCES)
    apart = np.concatenate([sentence_vectors(model, tokenizer, [sentence]) for sentence in SENTENCES])
    np.testing.assert_allclose(together, apart, atol=1e-10)
    assert len({tuple(vector.round(6)) for vector in together}) == len(SENTENCES), "different sentences, one vector"


def test_a_vector_is_the_last_state_of_every_layer_or_the_mean_of_the_memory():
    torch.manual_seed(7)
    source = zoo.tokens([3, 5])
    recurrent = zoo.build(zoo.CONFIGS["seq2seq, lstm"]).encode(source)
    expected = torch.cat(list(leaves(recurrent.final)), 1)
    np.testing.assert_allclose(pooled(recurrent), expected.detach().numpy())
    transformer = zoo.build(zoo.CONFIGS["transformer, post-norm"]).encode(source)
    expected = torch.stack([transformer.states[0, :3].mean(0), transformer.states[1].mean(0)])
    np.testing.assert_allclose(pooled(transformer), expected.detach().numpy())


def test_an_empty_sentence_is_refused():
    model = zoo.build(zoo.CONFIGS["seq2seq, gru"])
    tokenizer = learn(TokenizerConfig(kind="word", vocabulary=zoo.VOCABULARY), [WORDS])
    with pytest.raises(DataError, match="sentence 2 is empty"):
        sentence_vectors(model, tokenizer, ["ka", "", "mo"])


def test_neighbours_tell_groups_that_hold_together():
    vectors = np.array([[0.0, 0], [0, 1], [9, 0], [9, 1], [4.5, 9]])
    found = neighbours(vectors, ["a", "a", "b", "b", "alone"])
    assert found is not None
    assert found.same == 1.0
    assert found.chance == pytest.approx(1 / 4)
    assert found.ratio < 0.2
    assert neighbours(vectors, ["a"] * 5) is None
    assert neighbours(vectors, list("abcde")) is None


def test_groups_are_read_line_by_line(tmp_path):
    path = tmp_path / "groups.tsv"
    path.write_text("active\tHe saw me\npassive\tI was seen by him\nactive\tShe left\n", encoding="utf-8")
    assert read_groups(path)[1] == ("passive", "I was seen by him")
    for text, message in [
        ("a\tb\na\tc\na\n", r"line 3 of .*: expected group<TAB>sentence, got 'a'"),
        ("a\tb\n\tc\na\td\n", "line 2"),
        ("a\tb\na\tc\n", "2 sentences; a map needs at least 3"),
    ]:
        path.write_text(text, encoding="utf-8")
        with pytest.raises(DataError, match=message):
            read_groups(path)


def test_the_figure_has_four_groups_of_three():
    groups = [group for group, _ in PARAPHRASES]
    assert {groups.count(group) for group in groups} == {3}
