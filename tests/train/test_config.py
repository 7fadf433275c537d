"""What a run can be told, and what is refused."""

import math

import pytest
import torch

from pumpgan.train import precision
from pumpgan.train.config import SemganConfig
from pumpgan.train.presets import config_from_json, configured, preset_named


@pytest.mark.parametrize(
    "bad, why",
    [
        (dict(batch=0), "--batch: must be at least 1"),
        (dict(mixing=1.5), "--mixing: must be a probability"),
        (dict(dist_start="soon"), "--dist-start: must be auto or"),
        (dict(dist_target="mean=x"), "--dist-target: must read like"),
        (dict(dist_target="median=2"), "--dist-target: must read like"),
        (dict(dist_temperature=0.0), "--dist-temperature: must be above 0"),
        (dict(precision="fp8"), "--precision: must be one of"),
        (dict(generator_rate=math.nan), "--generator-rate: must be above 0"),
        (dict(dist_start="nan"), "--dist-start: must be auto or"),
        (dict(dist_start="-5"), "--dist-start: must be auto or"),
        (dict(beta2=1.0), "--beta2: must be"),
        (dict(seed=2**32), "--seed: must be"),
        (dict(r1_gamma=math.inf), "--r1-gamma: must be at least 0"),
        (dict(channel_least=600), "--channel-least: must be at most"),
    ],
)
def test_what_cannot_work_is_refused_with_its_option(bad, why):
    with pytest.raises(ValueError, match=why):
        SemganConfig(**bad)


def test_what_the_user_states_replaces_the_preset():
    assert configured("semgan", "tiny", {}).resolution == 32
    assert configured("semgan", "tiny", {"resolution": 64}).resolution == 64


def test_auto_is_tiny_without_a_gpu():
    assert preset_named("semgan", "auto", on_gpu=False) == "tiny"
    assert preset_named("semgan", "auto", on_gpu=True) == "full"


def test_the_thesis_averages_by_a_constant_an_iteration():
    for batch in (8, 16):
        config = configured("semgan", "thesis", {"batch": batch})
        assert 0.5 ** (batch / config.ema_images) == pytest.approx(0.997784, abs=1e-6)


def test_a_stored_field_of_another_version_is_named():
    with pytest.raises(ValueError, match="unknown field 'bach'; did you mean 'batch'"):
        config_from_json("semgan", {"bach": 3})


def test_target_factors_are_read():
    assert SemganConfig(dist_target="mean=2,var=3").target_factors() == {"mean": 2.0, "variance": 3.0}


@pytest.mark.parametrize("flags, auto", [({"avx2"}, "fp32"), ({"avx2", "avx512_bf16"}, "bf16"), ({"amx_bf16"}, "bf16")])
def test_precision_follows_what_the_processor_promises_and_the_user_first(monkeypatch, flags, auto):
    monkeypatch.setattr(precision, "cpu_flags", lambda: flags)
    cpu = torch.device("cpu")
    assert precision.resolve("auto", cpu) == auto
    assert precision.resolve("fp32", cpu) == "fp32" and precision.resolve("bf16", cpu) == "bf16"
