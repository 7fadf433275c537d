"""A study small enough to be run, and killed, within a test: from parts to the scores of a classifier."""

import json
import os
from pathlib import Path

import pytest
from parts import use_small_networks
from small_gan import SMALL_CONFIG

from pumpgan.studies.schedule import run
from pumpgan.studies.stages import Stage, dataset, evaluate, generate, select, train
from pumpgan.studies.store import Store

GAN = SMALL_CONFIG | dict(channel_least=8, metric_count=8, checkpoint_every=4, precision="fp32")
CLASSIFIER = dict(batch=8, rate=0.01, validate_every=8, precision="fp32")


def small_study(data: Path, gan_steps: int = 12, steps: int = 24) -> list[Stage]:
    parts = dataset("parts", data)
    defects = select("defects", parts, with_class="defect")
    gan = train("gan", "semgan", [defects], preset="tiny", steps=gan_steps, **GAN)
    drawn = generate("drawn", gan, 12, image_label="defect", checkpoint="best", realism=0.9)
    classifiers = [
        train(name, "classifier", [parts, *more], preset="tiny", steps=steps, **CLASSIFIER)
        for name, more in (("baseline", ()), ("helped", (drawn,)))
    ]
    scores = [evaluate(f"{stage.name}-scores", stage, parts) for stage in classifiers]
    return [*scores, evaluate("labels", gan, defects, count=16)]


def run_small_study(data: Path, store: Path, cache: Path) -> None:
    """In a process of its own: small networks, one thread."""
    os.environ["PUMPGAN_CACHE"] = str(cache)
    use_small_networks(pytest.MonkeyPatch())
    run(small_study(data), Store(store), parallel=0, threads=1, say=lambda line: None)


def results(stages: list[Stage], store: Store) -> dict[str, bytes]:
    """All that a study's tables and pictures are made of."""
    found = {stage.name: json.dumps(store.result(stage), sort_keys=True).encode() for stage in stages}
    for stage in stages:
        if (lines := store.product(stage) / "images.jsonl").exists():
            found[f"{stage.name} images"] = lines.read_bytes()
    return found
