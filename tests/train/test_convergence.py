"""A minute of training must draw images whose labels fit them. Colour tells the class, so agreement can be counted."""

import itertools

import numpy as np
import pytest
import torch
from plates import PLATE_COLOURS

from pumpgan.inference.samples import TrainedGenerator
from pumpgan.train.loop import Goal
from pumpgan.train.presets import configured
from pumpgan.train.run import start

STEPS = 1000
BATCHES = 8  # of 32 samples


def agreement(images: np.ndarray, labels: np.ndarray) -> float:
    """Fraction of pixels whose nearest class colour is that of their label."""
    distance = ((images[..., None, :].astype(float) - PLATE_COLOURS) ** 2).sum(axis=-1)
    return float((distance.argmin(axis=-1) == labels).mean())


@pytest.mark.slow
def test_images_and_labels_come_to_agree(tmp_path, many_plates):
    options = dict(resolution=16, channel_base=512, channel_most=32, channel_least=16, precision="fp32", metric_count=0)
    config = configured("semgan", "tiny", options)
    run, device = tmp_path / "run", torch.device("cpu")
    start(config, preset="tiny", data=[many_plates], run=run, goal=Goal(steps=STEPS), device=device, quiet=True)
    found = {}
    for step in (0, STEPS):
        batches = list(itertools.islice(TrainedGenerator(run, checkpoint=step).samples(seed=1), BATCHES))
        images, labels = (np.concatenate([getattr(b, name) for b in batches]) for name in ("images", "labels"))
        shares = [(labels == c).mean() for c in range(3)]
        found[step] = agreement(images, labels), shares
        print(f"step {step}: agreement {found[step][0]:.3f}, shares {np.round(shares, 3)}")
    assert found[0][0] < 0.6  # untrained, labels tell little about images
    assert found[STEPS][0] > 0.9
    ground, plate, _ = found[STEPS][1]
    assert 0.55 < ground < 0.85 and 0.15 < plate < 0.45  # real: 0.70, 0.29
