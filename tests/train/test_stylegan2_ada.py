"""StyleGAN2-ADA: its settings by resolution, what each phase reaches, conditions, sizes, transfer, exact resume."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from plates import PLATE_CLASSES, draw_plate, pumpgan

from pumpgan.cli.train import networks_config, train
from pumpgan.data.dataset import Dataset, Entry
from pumpgan.data.packed import pack
from pumpgan.data.writer import DatasetWriter
from pumpgan.inference.generate import generate
from pumpgan.inference.samples import TrainedGenerator
from pumpgan.train import checkpoint as checkpoints
from pumpgan.train import gan as gan_module
from pumpgan.train.config import Stylegan2AdaConfig
from pumpgan.train.gan import Step, image_discriminator_phase, image_r1_phase, path_length_phase
from pumpgan.train.learner import NEVER, Task, take_step
from pumpgan.train.loop import Goal
from pumpgan.train.presets import configured, settled
from pumpgan.train.record import RunRecord
from pumpgan.train.run import resume, start
from pumpgan.train.stylegan2_ada import Stylegan2Ada, generator_phase
from pumpgan.train.training_data import conditions_of

CPU = torch.device("cpu")
SMALL = dict(
    batch=4, channel_base=128, channel_most=16, channel_least=8, latent_size=8, style_size=8, mapping_depth=2,
    generator_rate=0.002, discriminator_rate=0.002, r1_gamma=1.0, ema_images=100.0, precision="fp32", metric_count=0,
)  # fmt: skip
RISING = dict(augment_kimg=0.02, augment_target=-0.9)  # p rises fast and does not depend on who wins


def small(size=(16, 16), conditions=(), **options) -> tuple[Stylegan2Ada, Step]:
    config = Stylegan2AdaConfig(**{**SMALL, "augment": "fixed", "augment_p": 0.5, **options})
    gan = Stylegan2Ada(config, Task(size, 3, (), conditions), CPU, torch.float32)
    source = torch.Generator().manual_seed(1)
    images = torch.rand(4, 3, *size, generator=source) * 2 - 1
    return gan, Step(images, conditions=torch.tensor([0, 1, 0, 1]) if conditions else None)


def write_set(out: Path, size=(16, 16), image_labels=("good", "defect"), unlabelled=0) -> Path:
    """Plates; those with a hole are the defective ones. `unlabelled` training images have neither labels nor masks."""
    rng, (height, width) = np.random.default_rng(0), size
    with DatasetWriter(
        out, name="plates", classes=PLATE_CLASSES, size=size, channels=3, flips="hv", image_labels=image_labels
    ) as writer:
        for i in range(32):
            image, label = (part[:height, :width] for part in draw_plate(rng, max(size)))
            named = (image_labels[int((label == 2).any())] if image_labels else None) if i >= unlabelled else None
            entry = Entry(f"plate_{i}", "train" if i < 24 else "test", photographs=(f"plate_{i}",), image_label=named)
            writer.add(entry, image, label if i >= unlabelled else None)
    return out


def train_small(data: Path, run: Path, steps: int, networks: Path | None = None, **options) -> None:
    config = Stylegan2AdaConfig(**{**SMALL, **options})
    common = dict(device=CPU, say=lambda line: None, quiet=True, networks=networks)
    start(config, preset="full", data=[data], run=run, goal=Goal(steps=steps), **common)


@pytest.fixture(scope="module")
def plates(tmp_path_factory) -> Path:
    return write_set(tmp_path_factory.mktemp("sets") / "plates")


# Settings ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "side, batch, base, gamma, ema_images",
    [
        (64, 32, 16384, 0.0256, 10_000),
        (128, 32, 16384, 0.1024, 10_000),
        (256, 16, 16384, 0.8192, 5_000),
        (512, 8, 32768, 6.5536, 2_500),
    ],
)
def test_full_settles_what_the_published_auto_does(side, batch, base, gamma, ema_images):
    config = settled(configured("stylegan2-ada", "full", {}), (side, side))
    assert (config.batch, config.channel_base) == (batch, base)
    assert config.r1_gamma == pytest.approx(gamma) and config.ema_images == ema_images
    assert config.generator_rate == config.discriminator_rate == 0.0025 and config.mapping_depth == 2
    assert config.augment == "ada" and config.augment_pipe == "bgc"


def test_what_is_stated_is_not_settled_again():
    stated = dict(batch=7, channel_base=100, r1_gamma=0.0, ema_images=5.0, generator_rate=0.1)
    config = settled(configured("stylegan2-ada", "full", stated), (64, 64))
    assert {name: getattr(config, name) for name in stated} == stated


def test_lazy_rates_are_the_published_ones():
    gan, _ = small(generator_rate=0.0025, discriminator_rate=0.0025)
    (g,), (d,) = gan.generator_optimizer.param_groups, gan.image_optimizer.param_groups
    assert (g["lr"], g["betas"]) == (pytest.approx(0.002), (0.0, pytest.approx(0.991992, abs=1e-6)))
    assert (d["lr"], d["betas"]) == (pytest.approx(0.0023529, abs=1e-7), (0.0, pytest.approx(0.990585, abs=1e-6)))


# Phases -----------------------------------------------------------------------------------------------------


def weights(network) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in network.named_parameters()}


def changed(network, before) -> set[str]:
    return {name for name, p in network.named_parameters() if not torch.equal(p, before[name])}


@pytest.mark.parametrize("phase", [image_discriminator_phase, image_r1_phase, generator_phase])
def test_a_phase_changes_its_own_network_alone(phase):
    gan, step = small(conditions=("good", "defect"))
    networks = {"generator": gan.generator, "discriminator": gan.image_discriminator}
    before = {name: weights(network) for name, network in networks.items()}
    phase(gan, step)
    found = {name: changed(network, before[name]) for name, network in networks.items()}
    own = "generator" if phase is generator_phase else "discriminator"
    other = "discriminator" if own == "generator" else "generator"
    assert not found[other]
    assert any("blocks" in n or "convs" in n for n in found[own]) and any("mapping.embed" in n for n in found[own])


def test_real_and_drawn_images_are_augmented_wherever_they_are_judged(monkeypatch):
    gan, step = small()
    seen = []
    monkeypatch.setattr(gan_module.AugmentControl, "__call__", lambda self, x: (seen.append(len(x)), (x, None))[1])
    take_step(gan, step)
    assert seen == [8, 4, 4]  # real and drawn together; real for R1; drawn for the generator


def test_r1_is_taken_through_the_augmentation(monkeypatch):
    """Images that the discriminator sees at a tenth of their contrast have gradients of a tenth: R1 is a hundredth."""
    plain, step = small(augment="none")
    expected = float(image_r1_phase(plain, step)["loss/image_r1"].detach())
    gan, step = small(augment="none")
    monkeypatch.setattr(gan_module.AugmentControl, "__call__", lambda self, x: (0.1 * x + 0.9 * x.detach(), None))
    assert float(image_r1_phase(gan, step)["loss/image_r1"].detach()) == pytest.approx(expected / 100, rel=1e-4)


@pytest.mark.parametrize("phase", [image_discriminator_phase, image_r1_phase, generator_phase, path_length_phase])
def test_a_phase_notes_a_loss_that_is_not_finite(phase):
    gan, step = small(path_length_weight=2.0)
    gan.step = 7
    with torch.no_grad():
        gan.generator.start.fill_(torch.nan)
        gan.image_discriminator.score.weight.fill_(torch.nan)
    phase(gan, step)
    bad = dict(zip(gan.phase_names, gan.first_bad_step.tolist(), strict=True))
    assert [name for name, at in bad.items() if at == 7] == [phase.__name__.removesuffix("_phase")]


def test_the_running_mean_of_styles_follows_and_is_averaged_along():
    gan, step = small(mixing=0.0)
    take_step(gan, step)
    average = gan.generator.mapping.average
    assert average.abs().sum() > 0 and torch.equal(average, gan.averaged.mapping.average)


def test_gradient_norms_of_the_phases_are_logged():
    gan, step = small(path_length_weight=2.0)
    take_step(gan, step)
    named = {"image_discriminator", "image_r1", "generator", "path_length"}
    assert {f"gradients/{name}" for name in named} <= gan.figures().keys()
    assert all(gan.figures()[f"gradients/{name}"] > 0 for name in named)


# Sizes ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "size, first", [((16, 24), (4, 6)), ((48, 48), (6, 6)), ((40, 16), (10, 4)), ((12, 20), (6, 10))]
)
def test_any_size_of_a_small_number_times_a_power_of_two_trains(size, first):
    gan, step = small(size=size, path_length_weight=2.0)
    assert gan.generator.sizes[0] == first and gan.generator.sizes[-1] == size
    assert step.fakes(gan, with_graph=False).images.shape == (4, 3, *size)
    take_step(gan, step)
    assert (gan.first_bad_step == NEVER).all() and np.isfinite(list(gan.figures().values())).all()


@pytest.mark.parametrize("size", [(50, 50), (7, 16), (100, 64)])
def test_a_size_that_cannot_be_halved_often_enough_is_refused(size):
    with pytest.raises(ValueError, match="times a power of two"):
        small(size=size)


# Conditions -------------------------------------------------------------------------------------------------


def test_what_is_drawn_and_how_it_is_judged_depends_on_the_condition():
    gan, step = small(conditions=("good", "defect"))
    z = torch.randn(1, 8).expand(2, -1)
    styles = gan.generator.mixed_styles(z, conditions=torch.tensor([0, 1]))
    assert not torch.allclose(styles[0], styles[1])
    same = step.images[:1].expand(2, -1, -1, -1)
    scores = gan.image_discriminator(same, conditions=torch.tensor([0, 1]))
    assert not torch.allclose(scores[0], scores[1])


def test_a_conditional_run_draws_what_it_is_asked_for_and_else_as_often_as_it_saw_it(plates, tmp_path):
    run = tmp_path / "run"
    train_small(plates, run, 2, conditional=True)
    record = RunRecord.read(run)
    assert record.conditions == ("good", "defect") and sum(record.condition_counts) == 24
    generate(run, tmp_path / "made", 20, image_label="defect")
    assert {entry.image_label for entry in Dataset.open(tmp_path / "made").split("train")} == {"defect"}
    drawn = [
        c for _, sample in zip(range(8), TrainedGenerator(run).samples(0), strict=False) for c in sample.conditions
    ]
    good, defect = record.condition_counts
    assert np.mean(drawn) == pytest.approx(defect / (good + defect), abs=0.1)  # 256 draws: 3 standard deviations
    with pytest.raises(ValueError, match="its image labels are good, defect; got 'rust'"):
        generate(run, tmp_path / "no", 2, image_label="rust")
    assert not (tmp_path / "no").exists()


def test_pixels_tell_the_condition_where_no_image_label_is_stored(tmp_path):
    packed = pack(Dataset.open(write_set(tmp_path / "set", image_labels=())))
    some = packed.labels.clone()
    some[::3] = 0  # every plate's id is over 0
    names, conditions = conditions_of(replace(packed, labels=some), ["set"])
    assert names == ("good", "defect") and conditions.tolist() == [0, 1, 1] * 8
    with pytest.raises(ValueError, match="all training images are defect"):
        conditions_of(packed, ["set"])


def test_images_without_a_label_are_named_where_conditions_are_learnt(tmp_path):
    data = write_set(tmp_path / "set", unlabelled=2)
    with pytest.raises(ValueError, match=r"2 training images have no image label \(plate_0, plate_1\)"):
        train_small(data, tmp_path / "run", 1, conditional=True)
    assert not (tmp_path / "run").exists()


# A whole run ------------------------------------------------------------------------------------------------


def bytes_of(run: Path, step: int) -> dict[str, bytes]:
    return {name: (run / "checkpoints" / str(step) / name).read_bytes() for name in checkpoints.FILES}


def test_a_run_in_two_parts_ends_in_the_same_bytes_as_one_in_one(tmp_path):
    data = write_set(tmp_path / "wide", size=(16, 24))
    options = dict(conditional=True, path_length_weight=2.0, augment="ada", **RISING)
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    train_small(data, whole, 24, **options)
    train_small(data, parts, 10, **options)
    resume(parts, goal=Goal(steps=24), quiet=True, say=lambda line: None)
    assert bytes_of(whole, 24) == bytes_of(parts, 24)
    lines = [json.loads(line) for line in (whole / "log.jsonl").read_text().splitlines()]
    assert max(line.get("augment/p", 0.0) for line in lines) > 0.1
    generate(whole, tmp_path / "made", 3)
    made = Dataset.open(tmp_path / "made")
    assert made.size == (16, 24) and made.label(made.split("train")[0]) is None
    assert [c.name for c in made.classes] == [c.name for c in PLATE_CLASSES]


def test_a_stored_augmentation_is_kept_and_another_one_refused_at_a_resume(plates, tmp_path):
    run = tmp_path / "run"
    train_small(plates, run, 2)
    before = bytes_of(run, 2)
    result = pumpgan("train", "--resume", run, "--steps", 4, "--augment", "none")
    assert result.returncode == 2 and "continues with the stored configuration" in result.stderr
    assert bytes_of(run, 2) == before


def test_a_run_begins_with_the_networks_of_another(plates, tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    train_small(plates, first, 3)
    arguments = ("train", "--model", "stylegan2-ada", "--data", plates, "--networks", first, "--device", "cpu")
    result = pumpgan(*arguments, "--steps", 1, "--precision", "fp32", "--out", second)
    assert result.returncode == 0, result.stderr
    assert f"begins with the networks of {first}" in result.stdout
    given, taken = (checkpoints.latest(run, step) for run, step in ((first, 3), (second, 0)))
    given, taken = given.tensors("model.safetensors"), taken.tensors("model.safetensors")
    assert given.keys() == taken.keys() and all(torch.equal(given[k], taken[k]) for k in given)
    config = RunRecord.read(second).config
    assert config.channel_most == 16 and config.ema_ramp == 0 and config.augment_kimg == 100
    wide = write_set(tmp_path / "wide", size=(16, 24))
    with pytest.raises(ValueError, match="24x16 px"):
        train_small(wide, tmp_path / "no", 1, networks=first)
    assert not (tmp_path / "no").exists()


@pytest.mark.parametrize(
    "options, told",
    [
        (("--dist-loss", "hole"), "--dist-loss: is not an option of --model stylegan2-ada"),
        (("--augment", "none", "--augment-p", "0.3"), "--augment-p: has no effect with --augment none"),
        (("--augment", "fixed", "--augment-p", "0.3", "--augment-kimg", "1"), "--augment-kimg: has no effect with"),
    ],
)
def test_an_option_that_could_do_nothing_is_refused(options, told):
    result = CliRunner().invoke(train, ["--model", "stylegan2-ada", *options])
    assert result.exit_code == 2 and told in result.output


def test_networks_of_another_model_are_refused(plates, tmp_path):
    train_small(plates, tmp_path / "run", 1)
    with pytest.raises(ValueError, match="is a run of stylegan2-ada, not of semgan"):
        networks_config(tmp_path / "run", "semgan")


def test_a_restart_at_the_first_step_begins_with_the_same_networks(plates, tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    train_small(plates, first, 3)
    train_small(plates, second, 2, networks=first)
    whole = bytes_of(second, 2)
    shutil.rmtree(second / "checkpoints")
    resume(second, quiet=True, say=lambda line: None)
    assert bytes_of(second, 2) == whole


def test_a_resume_refuses_changed_image_labels(plates, tmp_path):
    data, run = tmp_path / "data", tmp_path / "run"
    shutil.copytree(plates, data)
    train_small(data, run, 1, conditional=True)
    lines = (data / "images.jsonl").read_text()
    swapped = lines.replace('"good"', '"?"').replace('"defect"', '"good"').replace('"?"', '"defect"')
    (data / "images.jsonl").write_text(swapped)
    with pytest.raises(ValueError, match="no longer holds the images and labels"):
        resume(run, goal=Goal(steps=2), quiet=True, say=lambda line: None)


def test_settling_keeps_other_models_as_they_are():
    config = configured("semgan", "full", {})
    assert settled(config, (64, 64)) == replace(config, resolution=64)
    assert settled(config, (64, 96)).resolution == 0
