"""Novelty: a distance to the nearest training image, in that one's own distances to what shows something else."""

import pytest
import torch

from pumpgan.data.dataset import Entry
from pumpgan.data.packed import Packed
from pumpgan.metrics.extractors import load_extractor
from pumpgan.metrics.novelty import TrainingImages, features_of

APART = [frozenset({name}) for name in "abcd"]
LINE = torch.tensor([[[0.0, 0], [2, 0], [10, 0], [14, 0]]])  # four training images on a line, none mirrored


def novelty_at(training: TrainingImages, *places: float) -> list[tuple[int, float]]:
    found = training.nearest(torch.tensor([[place, 0.0] for place in places]))
    return [(nearest.index, pytest.approx(nearest.novelty)) for nearest in found]


def test_a_distance_is_told_in_the_nearest_ones_own_distance_to_its_nearest():
    training = TrainingImages(LINE, APART)
    assert novelty_at(training, 0.0, 0.5, 1.5, 9.0, 20.0) == [(0, 0), (0, 0.25), (1, 0.25), (2, 1 / 4), (3, 6 / 4)]


def test_images_that_show_the_same_are_no_measure_of_each_other():
    shows = [frozenset({"a", "group"}), frozenset({"b", "group"}), *APART[2:]]
    assert novelty_at(TrainingImages(LINE, shows), 0.5, 1.5) == [(0, 0.05), (1, 0.5 / 8)]


def test_an_exact_copy_under_another_name_is_no_measure():
    twice = torch.tensor([[[0.0, 0], [0, 0], [10, 0], [14, 0]]])
    assert novelty_at(TrainingImages(twice, APART), 1.0) == [(0, 0.1)]


def test_where_nothing_else_is_shown_there_is_no_measure():
    with pytest.raises(ValueError, match="4 of 4 training images have none beside them"):
        TrainingImages(LINE, [frozenset({"one photograph"})] * 4)


def test_features_must_be_of_the_images_that_are_described():
    with pytest.raises(ValueError, match=r"must be \[copies, 3, D\], got \[1, 4, 2\]"):
        TrainingImages(LINE, APART[:3])


@pytest.mark.parametrize(("flips", "mirrorings"), [("none", [()]), ("h", [(), (3,)]), ("hv", [(), (3,), (2,), (2, 3)])])
def test_every_mirrored_copy_that_is_allowed_has_features_and_is_looked_at_once(
    tmp_path, monkeypatch, flips, mirrorings
):
    monkeypatch.setenv("PUMPGAN_CACHE", str(tmp_path))
    images = torch.randint(0, 256, (5, 3, 16, 16), dtype=torch.uint8)
    entries = tuple(Entry(f"{i}", "train", photographs=(f"{i}",)) for i in range(5))
    labels = torch.zeros(5, 16, 16, dtype=torch.uint8)
    packed = Packed(images, labels, torch.zeros(5).bool(), entries, (), (), flips, "5" * 64)
    extractor, told = load_extractor(None), []
    features = features_of(packed, extractor, advance=told.append)
    expected = torch.stack([extractor(images.flip(axes)) for axes in mirrorings])
    assert torch.equal(features, expected) and sum(told) == 5 * len(mirrorings)
    assert torch.equal(features_of(packed, extractor, advance=told.append), expected)
    assert sum(told) == 5 * len(mirrorings), "the second time they are in the cache"
