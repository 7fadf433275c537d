"""An encoder that learns within a test, and the run of a SemanticGAN for it to be built upon."""

from pathlib import Path

import pytest
import torch
from small_gan import SMALL_CONFIG
from torch import nn

from pumpgan.train.config import SemganConfig
from pumpgan.train.loop import Goal
from pumpgan.train.run import start


class SmallEncoder(nn.Module):
    """In place of ResNet and pyramid; takes what they take."""

    def __init__(self, channels: int, styles: int, style_size: int):
        super().__init__()
        features = (nn.Conv2d(channels, 8, 4, stride=4), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten())
        self.network = nn.Sequential(*features, nn.LazyLinear(styles * style_size))
        self.register_buffer("mean", torch.zeros(style_size))
        self.shape = (styles, style_size)

    @classmethod
    def of(cls, generator, *, backbone: str, width: int) -> "SmallEncoder":
        encoder = cls(generator.channels, generator.styles, len(generator.mapping.average))
        encoder.eval()(torch.zeros(2, generator.channels, *generator.sizes[-1]))  # gives the last layer its shape
        return encoder.train()

    def forward(self, images):
        return self.mean + self.network(images).float().unflatten(1, self.shape)


def use_small_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pumpgan.train.encoder.Encoder", SmallEncoder)


def write_gan_run(data: Path, run: Path, steps: int = 2) -> Path:
    config = SemganConfig(**SMALL_CONFIG, precision="fp32")
    quiet = dict(quiet=True, say=lambda line: None)
    start(config, preset="tiny", data=[data], run=run, goal=Goal(steps), device=torch.device("cpu"), **quiet)
    return run
