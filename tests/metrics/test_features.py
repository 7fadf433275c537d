"""Feature statistics: whatever the batches, the figures of the whole."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pumpgan.metrics.extractors import STAND_IN
from pumpgan.metrics.features import FeatureStatistics

RECIPE = replace(STAND_IN, features=5)


def features(count: int, seed: int = 0, size: int = 5) -> torch.Tensor:
    return torch.randn(count, size, generator=torch.Generator().manual_seed(seed)) * 3 + 100


def gathered(*parts: torch.Tensor, recipe=RECIPE, **options) -> FeatureStatistics:
    statistics = FeatureStatistics(recipe, **options)
    for part in parts:
        statistics.update(part)
    return statistics


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 9), min_size=1, max_size=8), st.integers(1, 30))
def test_batches_of_any_size_give_numpys_mean_and_covariance(sizes, keep):
    whole = features(2 + sum(sizes))
    statistics = gathered(*whole.split([2, *sizes]), keep=keep)
    np.testing.assert_allclose(statistics.mean, whole.double().numpy().mean(0), rtol=1e-13)
    np.testing.assert_allclose(statistics.covariance, np.cov(whole.double().numpy(), rowvar=False), rtol=1e-10)
    assert torch.equal(statistics.kept, gathered(whole, keep=keep).kept)
    assert statistics.kept.shape == (min(keep, len(whole)), 5)


def test_a_merged_statistic_is_that_of_both_parts():
    first, second = features(40), features(23, seed=1) + 5
    merged = gathered(first)
    merged.merge(gathered(second, seed=1))
    merged.merge(gathered())
    both = torch.cat([first, second]).double().numpy()
    assert merged.count == 63
    np.testing.assert_allclose(merged.mean, both.mean(0), rtol=1e-13)
    np.testing.assert_allclose(merged.covariance, np.cov(both, rowvar=False), rtol=1e-10)
    assert torch.equal(merged.kept, torch.cat([first, second]))


def test_covariance_is_divided_as_the_recipe_says():
    x = features(10)
    by_count = gathered(x, recipe=replace(RECIPE, covariance="N")).covariance
    np.testing.assert_allclose(by_count, gathered(x).covariance * 9 / 10, rtol=1e-13)


def test_what_is_kept_is_a_fair_sample_of_a_sorted_set():
    rows = torch.arange(4000.0)[:, None].expand(-1, 5)
    kept = gathered(*rows.split(37), keep=400).kept[:, 0]
    assert torch.equal(kept, kept.sort().values) and len(kept.unique()) == 400
    assert abs(float(kept.mean()) - 2000) < 4 * 4000 / 12**0.5 / 400**0.5
    merged = gathered(rows[:3000], keep=400)
    merged.merge(gathered(rows[3000:], keep=400, seed=1))
    assert 60 < int((merged.kept[:, 0] >= 3000).sum()) < 145  # a quarter of 400


def test_what_was_stored_goes_on_as_if_it_had_stayed():
    whole = features(60)
    first = gathered(whole[:35], keep=20)
    again = FeatureStatistics(RECIPE, keep=20)
    assert again.restore(first.to_bytes({"digest": "a"}), {"digest": "a"})
    again.update(whole[35:])
    unbroken = gathered(whole[:35], whole[35:], keep=20)
    assert again.count == 60 and torch.equal(again.kept, unbroken.kept)
    assert np.array_equal(again.covariance, unbroken.covariance)


def test_what_is_cut_damaged_or_of_something_else_is_not_taken():
    content = gathered(features(9)).to_bytes({"digest": "a"})
    damaged = content[:-40] + bytes([content[-40] ^ 1]) + content[-39:]
    for wrong in (b"", content[:7], content[:-1], damaged, b"\xff" * 64):
        statistics = FeatureStatistics(RECIPE)
        assert not statistics.restore(wrong, {"digest": "a"})
        assert statistics.count == 0
    assert not FeatureStatistics(RECIPE).restore(content, {"digest": "b"})
    assert not FeatureStatistics(replace(RECIPE, sha256="0")).restore(content, {"digest": "a"})
    assert not FeatureStatistics(RECIPE, keep=8).restore(content, {"digest": "a"})


def test_wrong_features_are_refused():
    with pytest.raises(ValueError, match=r"features must be \[N, 5\], got \[3, 4\]"):
        gathered(features(3, size=4))
    with pytest.raises(ValueError, match="features must be finite"):
        gathered(torch.full((2, 5), float("nan")))
    with pytest.raises(ValueError, match="at least 2 images, got 1"):
        _ = gathered(features(1)).mean
    with pytest.raises(ValueError, match=r"different recipes cannot be compared: name stand-in and sg2"):
        gathered(features(3)).merge(gathered(features(3), recipe=replace(RECIPE, name="sg2")))
