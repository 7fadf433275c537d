"""The models that can be trained, by name: what each can be told, its presets, and where a run ends.

Knows no torch, so the command line answers --help at once.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

from pumpgan.data.names import suggestion
from pumpgan.train.config import RunConfig, SemganConfig, Stylegan2AdaConfig
from pumpgan.train.downstream_config import ClassifierConfig, EncoderConfig, SegmenterConfig

Config = TypeVar("Config", bound=RunConfig)

TINY = dict(
    resolution=32,
    batch=16,
    channel_base=1024,
    channel_most=64,
    channel_least=32,
    latent_size=64,
    style_size=64,
    mapping_depth=2,
    generator_rate=0.004,
    discriminator_rate=0.004,
    r1_gamma=0.2,
    path_length_weight=0.0,
    mixing=0.0,
    augment_kimg=100.0,
)
TINY_IMAGES = 80_000
FULL_STEPS = 20_000
SEMGAN_PRESETS: dict[str, dict] = {
    "tiny": TINY | dict(label_gamma=0.05, patch_base=16),
    "full": {},
    "thesis": dict(
        batch=8,
        precision="fp32",
        label_gamma=10.0,
        label_r1="batch",
        shared_fakes=False,
        ema_ramp=0.0,
        snapshot_kimg=16,
        dist_memory=0,
    ),
}
STYLEGAN2_ADA_PRESETS: dict[str, dict] = {
    "tiny": TINY | dict(r1_gamma=-1.0, ema_images=10_000.0),
    "full": {},
    "thesis": dict(shared_fakes=False),
}


# What a classifier and a segmenter learn in minutes on two cores: the protocol, but for its length.
SHORT = dict(validate_every=50)
CLASSIFIER_PRESETS: dict[str, dict] = {"tiny": SHORT, "full": {}, "thesis": dict(precision="fp32")}
SEGMENTER_PRESETS: dict[str, dict] = {"tiny": SHORT, "full": {}, "thesis": dict(precision="fp32")}
# An encoder of a tiny SemanticGAN: its rate falls from where full presets have hardly begun.
ENCODER_PRESETS: dict[str, dict] = {
    "tiny": SHORT | dict(backbone="resnet18", width=64, rate=3e-4, rate_from=300, rate_until=1_000),
    "full": {},
    "thesis": dict(precision="fp32"),
}


@dataclass(frozen=True)
class Model:
    """What is known of a model before torch is loaded.

    goal: (preset, settled configuration) -> steps at which a run ends if the user states no goal.
    learns_labels: whether it knows the classes of pixels. draws: whether it draws images.
    """

    config: type[Any]
    presets: dict[str, dict]
    goal: Callable[[str, Any], int]
    learns_labels: bool = False
    draws: bool = False


def semgan_goal(preset: str, config: RunConfig) -> int:
    return {"tiny": math.ceil(TINY_IMAGES / config.batch), "full": FULL_STEPS, "thesis": 140_000}[preset]


def stylegan2_ada_goal(preset: str, config: RunConfig) -> int:
    """`thesis`: 18.9 million images."""
    if preset == "full":
        return FULL_STEPS
    return math.ceil({"tiny": TINY_IMAGES, "thesis": 18_900_000}[preset] / config.batch)


def fixed_goal(tiny: int, full: int) -> Callable[[str, RunConfig], int]:
    return lambda preset, config: tiny if preset == "tiny" else full


MODELS: dict[str, Model] = {
    "semgan": Model(SemganConfig, SEMGAN_PRESETS, semgan_goal, learns_labels=True, draws=True),
    "stylegan2-ada": Model(Stylegan2AdaConfig, STYLEGAN2_ADA_PRESETS, stylegan2_ada_goal, draws=True),
    "classifier": Model(ClassifierConfig, CLASSIFIER_PRESETS, fixed_goal(1_000, 80_000)),
    "segmenter": Model(SegmenterConfig, SEGMENTER_PRESETS, fixed_goal(1_000, 20_000), learns_labels=True),
    "encoder": Model(EncoderConfig, ENCODER_PRESETS, fixed_goal(1_000, 100_000), learns_labels=True),
}


def preset_named(model: str, preset: str, on_gpu: bool) -> str:
    """`auto` is tiny on a CPU and full width on a GPU."""
    if preset == "auto":
        return "full" if on_gpu else "tiny"
    presets = MODELS[model].presets
    if preset not in presets:
        raise ValueError(f"--preset: must be auto, {', '.join(presets)}, got {preset!r}")
    return preset


ARCHITECTURE = (
    *("resolution", "channel_base", "channel_most", "channel_least", "latent_size", "style_size", "mapping_depth"),
    *("patch_base", "conditional"),
)
TRANSFER = dict(ema_ramp=0.0, augment_kimg=100.0)  # as StyleGAN2-ADA's published code goes on from trained networks


def configured(model: str, preset: str, stated: dict, networks: RunConfig | None = None) -> RunConfig:
    """The preset's values, replaced by whatever is `stated`.

    networks: the configuration of the run whose networks are taken over, and with them the shape of all networks.
    """
    values = {**MODELS[model].presets[preset]}
    if networks is not None:
        values |= {name: getattr(networks, name) for name in ARCHITECTURE if hasattr(networks, name)}
        values |= TRANSFER if MODELS[model].draws else {}
    values |= stated
    if (model, preset) == ("semgan", "thesis") and "ema_images" not in stated:
        values["ema_images"] = (
            values["batch"] * 10_000 / 32
        )  # it averages by a constant an iteration, 0.5 ** (32 / 1e4)
    return MODELS[model].config(**values)


def settled(config: Config, size: tuple[int, int]) -> Config:
    """The configuration for images of (height, width) `size`: with a number wherever it left one to the resolution.

    StyleGAN2-ADA's `auto` on one device: Karras et al. 2020, arXiv:2006.06676, and its published training script.
    """
    height, width = size
    config = replace(config, resolution=height if height == width else 0)
    if not isinstance(config, Stylegan2AdaConfig):
        return config
    side = max(size)
    batch = config.batch or max(1, min(4096 // side, 32))
    rate = 0.002 if side >= 1024 else 0.0025
    return replace(
        config,
        batch=batch,
        channel_base=config.channel_base or (32768 if side >= 512 else 16384),
        generator_rate=config.generator_rate or rate,
        discriminator_rate=config.discriminator_rate or rate,
        r1_gamma=config.r1_gamma if config.r1_gamma >= 0 else 0.0002 * height * width / batch,
        ema_images=config.ema_images or batch * 10_000 / 32,
    )


def config_from_json(model: str, values: dict) -> RunConfig:
    """ValueError where a stored configuration is of an unknown model or has a field that this version does not know."""
    if model not in MODELS:
        raise ValueError(f"config: unknown model {model!r}{suggestion(model, list(MODELS))}")
    known = [f.name for f in fields(MODELS[model].config)]
    for name in values:
        if name not in known:
            raise ValueError(f"config: unknown field {name!r}{suggestion(name, known)}")
    return MODELS[model].config(**values)
