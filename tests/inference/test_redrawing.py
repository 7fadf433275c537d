"""Photographs segmented by the run of an encoder: by what its generator makes of them, refined or not."""

import numpy as np
import pytest
import torch
from PIL import Image
from small_encoder import use_small_encoder, write_gan_run

from pumpgan.data.dataset import Dataset, read_label
from pumpgan.data.packed import pack
from pumpgan.inference.predictor import Predictor
from pumpgan.inference.redrawing import Redrawing
from pumpgan.inference.segment import pixel_model, segment
from pumpgan.train.downstream_config import EncoderConfig
from pumpgan.train.loop import Goal
from pumpgan.train.run import start


@pytest.fixture(autouse=True)
def small_encoder(monkeypatch):
    use_small_encoder(monkeypatch)


@pytest.fixture(scope="module")
def run(plates, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        use_small_encoder(patch)
        gan = write_gan_run(plates, folder / "gan")
        config = EncoderConfig(run=str(gan), batch=4, validate_every=2, precision="fp32")
        options = dict(preset="tiny", device=torch.device("cpu"), quiet=True, say=lambda line: None)
        start(config, data=[plates], run=folder / "encoder", goal=Goal(steps=2), **options)
    return folder / "encoder"


@pytest.fixture
def images(plates):
    return pack(Dataset.open(plates), "test").images[:6]


def test_without_refinement_it_answers_as_the_network_that_evaluate_judges(run, images):
    plain, redrawing = Predictor(run), pixel_model(run, refine=0)
    answer = redrawing.answer(images)
    classes = len(plain.classes)
    assert answer.shape == (6, classes + 3, 16, 16) and torch.allclose(answer[:, :classes], plain.answer(images))
    assert torch.equal(redrawing.decide(answer[:, :classes]), plain.label_maps(images)[0])


def test_refinement_draws_closer_to_the_image_from_either_start(run, images):
    shown = images.float() / 255

    def unlike(**options):
        return (Redrawing(run, **options).answer(images)[:, -3:] - shown).square().mean()

    before = unlike(refine=0)
    assert unlike(refine=10) < 0.9 * before and unlike(refine=10, start="mean") < 0.9 * before


def test_unless_told_it_refines_only_where_squared_error_does_not_stand_alone(run):
    assert Redrawing(run).steps == 0
    assert Redrawing(run, start="mean").steps == 100
    assert Redrawing(run, refine=7).steps == 7


def test_a_photographs_reconstruction_is_written_beside_its_labels(run, images, tmp_path):
    pixels = np.asarray(Image.fromarray(images[0].permute(1, 2, 0).numpy()).resize((40, 30)))
    Image.fromarray(pixels).save(tmp_path / "plate.png")
    (line,) = segment(pixel_model(run, refine=2), [tmp_path / "plate.png"], tmp_path / "out")
    drawn = Image.open(tmp_path / "out" / "reconstructions" / "plate.png")
    assert drawn.mode == "RGB" and drawn.size == (40, 30)
    labels = read_label(tmp_path / "out" / "labels" / "plate.png", 3)
    assert labels.shape == (30, 40) and sum(c["pixels_percent"] for c in line["classes"].values()) == pytest.approx(100)


def test_what_refinement_cannot_do_is_refused(run, tmp_path):
    for options, said in (
        (
            dict(refine=0, start="mean"),
            "refine: must be at least 0 steps, and from a start at the mean at least 1, got 0",
        ),
        (dict(refine=-1), "refine: must be at least 0 steps"),
        (dict(start="middle"), "start: must be encoder or mean, got 'middle'"),
        (dict(perceptual=str(tmp_path / "vgg.pth")), r"vgg\.pth: is no file"),
    ):
        with pytest.raises((ValueError, OSError), match=said):
            pixel_model(run, **options)
