"""Training an encoder: the two steps, the generator it carries along, resumption, and runs it cannot be built upon."""

import json
import math
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from parts import names_of, use_small_networks, write_parts
from PIL import Image
from plates import PLATE_CLASSES, draw_plate
from small_encoder import use_small_encoder, write_gan_run

from pumpgan.data.dataset import Entry, LabelClass
from pumpgan.data.stream import Batch
from pumpgan.data.writer import DatasetWriter
from pumpgan.inference.judge import judge
from pumpgan.inference.predictor import Predictor
from pumpgan.losses.segmentation import sigmoid_dice
from pumpgan.train import downstream_job
from pumpgan.train.checkpoint import FILES, averaged_tensors, latest
from pumpgan.train.config import Stylegan2AdaConfig
from pumpgan.train.downstream_config import ClassifierConfig, EncoderConfig
from pumpgan.train.encoder import EncoderLearner, labelled_phase, rate_at, unlabelled_phase
from pumpgan.train.encoder_job import EncoderJob
from pumpgan.train.learner import take_step
from pumpgan.train.loop import Goal
from pumpgan.train.precision import DTYPES
from pumpgan.train.record import RunRecord
from pumpgan.train.run import resume, start

CPU = torch.device("cpu")
QUIET = dict(quiet=True, say=lambda line: None)


@pytest.fixture(autouse=True)
def small_encoder(monkeypatch):
    use_small_encoder(monkeypatch)


@pytest.fixture(scope="module")
def gan(plates, tmp_path_factory):
    return write_gan_run(plates, tmp_path_factory.mktemp("gan") / "gan")


def config_for(gan, **options) -> EncoderConfig:
    values = dict(run=str(gan), batch=8, rate=0.01, validate_every=4, resolution=16, precision="fp32")
    return EncoderConfig(**(values | options))


def train(config, data, run, steps, **options):
    options = dict(preset="tiny", device=CPU) | QUIET | options
    return start(config, data=data, run=run, goal=Goal(steps=steps), **options)


def log_of(run):
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]


class Edges:
    """Stands in for LPIPS: compares differences between neighbours."""

    def __call__(self, images, others):
        return (images.diff(dim=3) - others.diff(dim=3)).abs().mean(dim=(1, 2, 3))


def learner_for(gan, plates, perceptual=None, **options) -> EncoderLearner:
    """As a run begins, with the trained generator's weights."""
    job, config = EncoderJob([str(plates)], (), config_for(gan, **options)), config_for(gan, **options)
    generator = RunRecord.read(gan)
    learner = EncoderLearner(config, generator.config, generator.task, job.found, perceptual, CPU, torch.float32)
    for network in (learner.network, learner.best.network):
        network.load_generator(averaged_tensors(gan)[0])
    return learner


def batch_of_plates(count=4):
    images = torch.rand(count, 3, 16, 16) * 2 - 1
    return Batch(images, torch.randint(0, 3, (count, 16, 16)))


# The recipe ---------------------------------------------------------------------------------------------------------


def test_the_loss_of_a_labelled_step_is_the_published_sum(gan, plates):
    learner, batch = learner_for(gan, plates, Edges()), batch_of_plates()
    drawn = learner.network.train().redraw(batch.images)
    scalars = labelled_phase(learner, learner.step_of(batch_of_plates(), batch))
    expected = (
        F.mse_loss(drawn.images, batch.images)
        + 10 * Edges()(drawn.images, batch.images).mean()
        + F.cross_entropy(drawn.labels / 0.1, batch.labels)
        + sigmoid_dice(drawn.labels, batch.labels, 0.3)
    )
    torch.testing.assert_close(scalars["loss/labelled"], expected)


def test_the_loss_of_a_step_towards_images_leaves_labels_out(gan, plates):
    learner, batch = learner_for(gan, plates, Edges()), batch_of_plates()
    drawn = learner.network.train().redraw(batch.images)
    scalars = unlabelled_phase(learner, learner.step_of(batch, batch_of_plates()))
    expected = F.mse_loss(drawn.images, batch.images) + 10 * Edges()(drawn.images, batch.images).mean()
    torch.testing.assert_close(scalars["loss/unlabelled"], expected)


def test_a_step_moves_the_encoder_through_two_optimisers_and_never_the_generator(gan, plates):
    learner = learner_for(gan, plates)
    before = {name: tensor.clone() for name, tensor in learner.network.state_dict().items()}
    take_step(learner, learner.step_of(batch_of_plates(), batch_of_plates()))
    after = learner.network.state_dict()
    for name, tensor in before.items():
        moved = not torch.equal(tensor, after[name])
        assert moved == (name.startswith("encoder.") and name != "encoder.mean"), name
    first, second = learner.unlabelled_optimizer.state, learner.labelled_optimizer.state
    assert first.keys() == second.keys() and len(first) == len(list(learner.network.encoder.parameters()))
    parameter = learner.network.encoder.network[0].weight
    assert not torch.equal(first[parameter]["exp_avg"], second[parameter]["exp_avg"])


@pytest.mark.parametrize("clip", ["clip_unlabelled", "clip_labelled"])
def test_gradients_are_clipped_step_by_step(gan, plates, clip):
    learner = learner_for(gan, plates, **{clip: 1e-3})
    take_step(learner, learner.step_of(batch_of_plates(), batch_of_plates()))
    for name, optimizer in (
        ("clip_unlabelled", learner.unlabelled_optimizer),
        ("clip_labelled", learner.labelled_optimizer),
    ):
        first = torch.cat([state["exp_avg"].flatten() for state in optimizer.state.values()]) / 0.1
        assert (first.norm() < 1.1e-3) == (name == clip)


def test_the_rate_is_even_and_falls_as_half_a_cosine_between_two_steps():
    config = EncoderConfig(rate=1e-3, rate_least=1e-5, rate_from=100, rate_until=300)
    rates = [rate_at(config, step) for step in (0, 100, 150, 200, 300, 9999)]
    expected = [1e-3, 1e-3, 1e-5 + 9.9e-4 * (0.5 + math.sqrt(0.125)), 5.05e-4, 1e-5, 1e-5]
    assert rates == pytest.approx(expected)


def test_the_rate_of_both_optimisers_follows(gan, plates):
    learner = learner_for(gan, plates, rate_from=0, rate_until=10)
    learner.step = 5
    take_step(learner, learner.step_of(batch_of_plates(), batch_of_plates()))
    for optimizer in (learner.unlabelled_optimizer, learner.labelled_optimizer):
        assert optimizer.param_groups[0]["lr"] == pytest.approx(rate_at(learner.config, 5)) != learner.config.rate


# Runs ---------------------------------------------------------------------------------------------------------------


def test_an_encoder_comes_closer_to_images_and_labels_and_is_judged_by_its_best(gan, plates, tmp_path):
    run = tmp_path / "run"
    train(config_for(gan, validate_every=16), [plates], run, 48)
    lines = [line for line in log_of(run) if "loss/labelled" in line]
    assert lines[-1]["loss/labelled"] < 0.8 * lines[0]["loss/labelled"]
    assert lines[-1]["loss/unlabelled"] < lines[0]["loss/unlabelled"]
    assert (run / "samples" / "00000048.png").exists()
    predictor = Predictor(run)
    best = max(line["validation/iou"] for line in log_of(run) if "validation/iou" in line)
    assert predictor.score == pytest.approx(best)
    images = torch.randint(0, 256, (3, 3, 16, 16), dtype=torch.uint8)
    labels, _ = predictor.label_maps(images)
    drawn = predictor.network.redraw(images.float() / 127.5 - 1)
    assert torch.equal(labels, drawn.labels.argmax(dim=1).to(torch.uint8))
    scores = judge(run, plates)["scores"]
    assert scores["images"] == 16


def test_a_resumed_run_ends_in_the_same_bytes_without_the_folder_of_the_gan(plates, tmp_path):
    gan = write_gan_run(plates, tmp_path / "gan")
    config = config_for(gan, colour=0.2)
    train(config, [plates], tmp_path / "whole", 9)
    train(config, [plates], tmp_path / "broken", 5)
    shutil.rmtree(gan)
    assert resume(tmp_path / "broken", goal=Goal(steps=9), **QUIET)
    for name in FILES:
        whole, broken = ((tmp_path / run / "checkpoints/9" / name).read_bytes() for run in ("whole", "broken"))
        assert whole == broken, name


def test_the_record_keeps_what_rebuilds_the_generator(gan, plates, tmp_path):
    train(config_for(gan), [plates], tmp_path / "run", 4)
    record, theirs = RunRecord.read(tmp_path / "run"), RunRecord.read(gan)
    assert record.generator["run"] == str(gan) and record.generator["checkpoint"] == 2
    assert record.generator_config == theirs.config and record.task == theirs.task
    carried = latest(tmp_path / "run").tensors(FILES[0])
    for name, tensor in averaged_tensors(gan)[0].items():
        assert torch.equal(carried[f"network.generator.{name}"], tensor), name
    assert torch.equal(carried["best.network.encoder.mean"], carried["network.generator.mapping.average"])


def test_unlabelled_sets_serve_the_step_towards_images_alone(gan, plates, many_plates):
    config = config_for(gan)
    alone, more = EncoderJob([str(plates)], (), config), EncoderJob([str(plates)], (str(many_plates),), config)
    images, labelled = more.streams(config, CPU)
    held_out = names_of(more.found.validation.entries)
    assert held_out == names_of(alone.found.validation.entries)
    assert len(labelled) == len(alone.labelled) == 48 - len(held_out)
    assert len(images) == len(labelled) + 450  # photographs of their own, whatever they are called
    assert more.digest != alone.digest
    assert "labels" in more.learnt() and images(0).labels is None and labelled(0).labels is not None


def test_images_are_mirrored_as_the_dataset_allows_unless_told_otherwise(gan, plates):
    for mirror, flips in ((True, "hv"), (False, "none")):
        config = config_for(gan, mirror=mirror)
        assert [s.flips for s in EncoderJob([str(plates)], (), config).streams(config, CPU)] == [flips, flips]


# What does not fit --------------------------------------------------------------------------------------------------


def refused(config, data, tmp_path, message, error=ValueError, **options):
    with pytest.raises(error, match=message) as caught:
        train(config, [data], tmp_path / "run", 4, **options)
    assert "\n" not in str(caught.value) and not (tmp_path / "run").exists()


def test_runs_of_other_kinds_are_refused(gan, plates, tmp_path, monkeypatch):
    use_small_networks(monkeypatch)
    refused(config_for(""), plates, tmp_path, "--run: an encoder needs the run of a trained SemanticGAN")
    refused(config_for(tmp_path / "absent"), plates, tmp_path, r"config\.json: does not exist", FileNotFoundError)
    parts = write_parts(tmp_path / "parts")
    config = ClassifierConfig(batch=8, validate_every=1)
    start(config, preset="tiny", data=[parts], run=tmp_path / "classifier", goal=Goal(1), device=CPU, **QUIET)
    refused(config_for(tmp_path / "classifier"), plates, tmp_path, "is a run of classifier; an encoder needs")
    record = RunRecord.read(gan)
    (tmp_path / "ada").mkdir()
    replace(record, model="stylegan2-ada", config=Stylegan2AdaConfig()).write(tmp_path / "ada")
    refused(config_for(tmp_path / "ada"), plates, tmp_path, "is a run of stylegan2-ada; an encoder needs")
    (tmp_path / "young").mkdir()
    record.write(tmp_path / "young")
    refused(config_for(tmp_path / "young"), plates, tmp_path, "has no checkpoint yet")
    refused(config_for(gan), plates, tmp_path, "--networks: an encoder begins with a generator", networks=gan)


def write_other(out, classes=PLATE_CLASSES, labelled=True, channels=3):
    rng = np.random.default_rng(1)
    about = dict(name="other", classes=classes, size=(16, 16), channels=channels, flips="hv")
    with DatasetWriter(out, **about) as writer:
        for i in range(20):
            image, label = draw_plate(rng)
            entry = Entry(f"plate_{i}", "test" if i % 4 == 3 else "train", photographs=(f"plate_{i}",))
            writer.add(entry, image if channels == 3 else image[..., 0], label if labelled else None)
    return out


def test_data_unlike_those_of_the_gan_are_refused(gan, plates, tmp_path):
    refused(config_for(gan, resolution=8), plates, tmp_path, "--resolution: must be that of the images .* 16x16")
    classes = (*PLATE_CLASSES[:2], LabelClass(2, "crack", (230, 60, 60)))
    other = write_other(tmp_path / "classes", classes)
    refused(config_for(gan), other, tmp_path, "classes must be those of .*: ground, plate, hole; got .* crack")
    grey = write_other(tmp_path / "grey", channels=1)
    refused(config_for(gan), grey, tmp_path, "channels must be those of .*: 3; got 1")
    unlabelled = write_other(tmp_path / "unlabelled", labelled=False)
    refused(config_for(gan), unlabelled, tmp_path, "holds no train image with pixel labels to learn from")


def test_labels_that_are_all_ground_are_refused(gan, plates, tmp_path):
    ground = tmp_path / "ground"
    shutil.copytree(plates, ground)
    for path in (ground / "labels").iterdir():
        Image.fromarray(np.zeros((16, 16), np.uint8)).save(path)
    refused(config_for(gan), ground, tmp_path, "no pixel to be learnt from is of another class than ground")


def test_a_missing_file_of_weights_is_named_before_the_run_has_a_folder(gan, plates, tmp_path):
    config = config_for(gan, perceptual=str(tmp_path / "vgg16.pth"))
    refused(config, plates, tmp_path, r"vgg16\.pth: is no file; --perceptual takes", FileNotFoundError)


def test_half_precision_learns_as_well(gan, plates, tmp_path, monkeypatch):
    monkeypatch.setattr(downstream_job, "SMALLEST_IN_BF16", 16)
    learner = train(config_for(gan, precision="bf16"), [plates], tmp_path / "run", 4)
    assert learner.network.generator.dtype == learner.best.network.generator.dtype == DTYPES["bf16"]
    assert all(p.dtype == torch.float32 for p in learner.network.parameters())


@pytest.mark.parametrize(
    "wrong, message",
    [
        (dict(rate_least=1.0), "--rate-least: must be at most --rate"),
        (dict(rate_until=5, rate_from=5), "--rate-until: must be after --rate-from"),
        (dict(clip_labelled=0.0), "--clip-labelled: must be above 0"),
        (dict(dice_weight=-1.0), "--dice-weight: must be at least 0"),
        (dict(backbone="vgg"), "--backbone: must be one of resnet50, resnet18"),
        (dict(threshold=1.0), "--threshold: must be between 0 and 1"),
    ],
)
def test_numbers_that_mean_nothing_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        EncoderConfig(**wrong)
