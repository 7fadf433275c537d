"""The stand-in's distance says what eyes say; real statistics are computed once; every figure has its recipe."""

import json
import os
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from pumpgan.data.synthetic_face import draw
from pumpgan.metrics.extractors import load_extractor
from pumpgan.metrics.features import FeatureStatistics
from pumpgan.metrics.images import compare, distance, real_statistics, table


@pytest.fixture(scope="module")
def faces() -> torch.Tensor:
    """uint8 [300, 3, 64, 64]"""
    return torch.from_numpy(np.stack([draw(0, i, 64)[0] for i in range(300)])).permute(0, 3, 1, 2).contiguous()


def statistics(images: torch.Tensor) -> FeatureStatistics:
    extractor = load_extractor(None)
    found = FeatureStatistics(extractor.recipe)
    found.update(extractor(images))
    return found


def changed(images: torch.Tensor, how: str, strength: float) -> torch.Tensor:
    x, source = images.float(), torch.Generator().manual_seed(0)
    if how == "blur":
        soft = F.avg_pool2d(F.pad(x, (2, 2, 2, 2), mode="replicate"), 5, 1)
        x = x.lerp(soft, strength)
    elif how == "noise":
        x = x + 20 * strength * torch.randn(x.shape, generator=source)
    elif how == "colour":
        x = x + 40 * strength * torch.tensor([1.0, 0.0, -1.0][: x.shape[1]])[:, None, None]
    elif how == "modes dropped":
        kinds = max(1, round(len(x) * (1 - strength)))
        x = x[torch.arange(len(x)) % kinds]
    elif how == "mush":  # the mean face shines through
        x = x.lerp(x.mean(dim=0, keepdim=True), strength)
    return x.round().clamp(0, 255).to(torch.uint8)


@pytest.mark.parametrize(("side", "grey"), [(32, False), (32, True), (64, False)])
@pytest.mark.parametrize("how", ["blur", "noise", "colour", "modes dropped", "mush"])
def test_the_stand_ins_distance_grows_with(faces, how, side, grey):
    images = F.avg_pool2d(faces.float(), 64 // side).round().to(torch.uint8)
    images = images.float().mean(1, keepdim=True).round().to(torch.uint8) if grey else images
    reals = statistics(images[0::2])
    strengths = (0.0, 0.25, 0.5, 0.97)
    near, *further = (distance(reals, statistics(changed(images[1::2], how, s))) for s in strengths)
    assert near < further[0] < further[1] < further[2], (near, further)
    assert further[2] > 1.5 * near


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("PUMPGAN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "metrics"


class Counting:
    """How many images an extractor was shown."""

    def __init__(self):
        self.extractor = load_extractor(None)
        self.network, self.seen = self.extractor.network, 0
        self.extractor.network = self.look

    def look(self, images):
        self.seen += len(images)
        return self.network(images)


def test_real_statistics_are_computed_once(faces, cache):
    counting, told = Counting(), []
    first = real_statistics(faces, "a" * 64, counting.extractor, advance=told.append)
    again = real_statistics(faces, "a" * 64, counting.extractor, advance=told.append)
    assert counting.seen == 300 and told == [256, 44]
    assert again.count == 300 and np.array_equal(first.covariance, again.covariance)
    assert torch.equal(first.kept, again.kept)
    real_statistics(faces, "b" * 64, counting.extractor)  # other data
    real_statistics(faces[:, :, :32, :32], "a" * 64, counting.extractor)  # another size
    assert counting.seen == 900
    assert len(list(cache.iterdir())) == 3


@pytest.mark.parametrize("damage", [lambda c: c[: len(c) // 2], lambda c: b"", lambda c: c[:-9] + b"?" + c[-8:]])
def test_a_damaged_cache_is_made_anew(faces, cache, damage):
    few, counting = faces[:9], Counting()
    whole = real_statistics(few, "a" * 64, counting.extractor)
    (path,) = cache.iterdir()
    content = path.read_bytes()
    path.write_bytes(damage(content))
    again = real_statistics(few, "a" * 64, counting.extractor)
    assert counting.seen == 18 and np.array_equal(again.mean, whole.mean)
    assert path.read_bytes() == content


def test_a_cache_that_cannot_be_written_is_named(faces, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("PUMPGAN_CACHE", str(tmp_path / "file"))
    with pytest.raises(OSError, match=r"file/metrics/.*\.safetensors: cannot be written .*set PUMPGAN_CACHE"):
        real_statistics(faces[:3], "a" * 64, load_extractor(None))


def test_every_figure_comes_with_its_recipe_and_its_honest_name(faces):
    compared = compare(statistics(faces[:100]), statistics(faces[100:]))
    assert json.loads(json.dumps(compared, allow_nan=False)) == compared
    assert compared["images"] == {"real": 100, "generated": 200}
    assert compared["recipe"]["name"] == "stand-in" and compared["recipe"]["N"] == 200
    assert {"feature_distance", "kernel_distance", "precision", "recall"} < compared.keys()
    shown = table(compared)
    assert "feature distance (stand-in, not FID; N = 200)" in shown
    assert "kernel distance (stand-in, not KID)" in shown
    assert 0.5 < compared["precision"] <= 1 and 0.5 < compared["recall"] <= 1


def test_with_an_inception_network_it_is_called_fid(faces):
    sides = []
    for part in (faces[:30], faces[30:]):
        side = statistics(part)
        side.recipe = replace(side.recipe, name="sg2", extractor="inception-2015-12-05.pt", sha256="0" * 64)
        sides.append(side)
    compared = compare(*sides)
    assert compared["fid"] > 0 and "feature_distance" not in compared and "kernel_distance" not in compared
    assert "FID (sg2, N = 270)" in table(compared) and "KID  " in table(compared)
    with pytest.raises(ValueError, match="metrics of different recipes cannot be compared"):
        compare(sides[0], statistics(faces[30:]))


def test_three_images_have_a_distance_but_no_precision(faces):
    compared = compare(statistics(faces[:50]), statistics(faces[50:53]))
    assert compared["precision"] is None and compared["recall"] is None
    assert "precision" not in table(compared)


def test_a_files_rights_follow_the_umask(faces, cache):
    real_statistics(faces[:3], "a" * 64, load_extractor(None))
    (path,) = cache.iterdir()
    mask = os.umask(0)
    os.umask(mask)
    assert path.stat().st_mode & 0o777 == 0o666 & ~mask  # a cache may be shared
