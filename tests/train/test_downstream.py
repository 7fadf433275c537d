"""Classifiers and segmenters: what is learnt from and validated on, the best network, early stopping, resumption."""

import json
import os
import signal
from dataclasses import replace

import numpy as np
import pytest
import torch
from parts import draw_part, names_of, use_small_networks, write_parts
from PIL import Image

from pumpgan.data.dataset import PART_CLASSES, Dataset, Entry, LabelClass
from pumpgan.data.stream import Batch
from pumpgan.data.writer import DatasetWriter
from pumpgan.train import downstream, downstream_job, precision
from pumpgan.train.checkpoint import FILES, latest
from pumpgan.train.downstream_config import ClassifierConfig, SegmenterConfig
from pumpgan.train.downstream_data import load_validated, with_targets
from pumpgan.train.downstream_job import ClassifierJob, SegmenterJob
from pumpgan.train.learner import Task
from pumpgan.train.loop import Goal, Interrupted
from pumpgan.train.run import resume, start

CPU = torch.device("cpu")
CONFIGS = {
    "classifier": ClassifierConfig(batch=16, rate=0.01, validate_every=8, oversample=20, colour=0.3, mirror=True),
    "segmenter": SegmenterConfig(batch=8, rate=0.02, validate_every=8, colour=0.3, mirror=True, class_balanced=True),
}


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    return write_parts(tmp_path_factory.mktemp("data") / "parts")


@pytest.fixture(autouse=True)
def small_networks(monkeypatch):
    use_small_networks(monkeypatch)


def train(config, data, run, steps, **options):
    options = dict(preset="tiny", device=CPU, quiet=True, say=lambda line: None) | options
    return start(config, data=data, run=run, goal=Goal(steps=steps), **options)


def log_of(run):
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]


def validations(run):
    """validation figures by the step they are of"""
    told = [line for line in log_of(run) if "validation/step" in line]
    return {int(line["validation/step"]): line for line in told}


# Who is learnt from ---------------------------------------------------------------------------------------------


def test_no_photograph_is_learnt_from_and_validated_on_and_none_of_test_is_met(parts):
    found = load_validated([str(parts)], ClassifierConfig(seed=3), with_targets, "targets")
    learnt, held_out = names_of(found.training.entries), names_of(found.validation.entries)
    assert learnt and held_out and not learnt & held_out
    assert learnt | held_out == names_of(Dataset.open(parts).split("train"))
    assert len(held_out) == pytest.approx(0.2 * 30, abs=1)
    other = load_validated([str(parts)], ClassifierConfig(seed=4), with_targets, "targets")
    assert names_of(other.validation.entries) != held_out


def test_pasted_and_generated_images_are_learnt_from_unless_they_show_a_validation_photograph(parts, tmp_path):
    held_out = names_of(load_validated([str(parts)], ClassifierConfig(), with_targets, "t").validation.entries)
    train_names = sorted(names_of(Dataset.open(parts).split("train")))
    source = Dataset.open(parts)
    image, label = source.image(source.entries[0]), source.label(source.entries[0])
    added = tmp_path / "added"
    with DatasetWriter(
        added,
        **source.derived("paste", {}),
    ) as writer:
        for name in train_names:
            writer.add(Entry(f"on_{name}", "train", photographs=(name,), donor="x", image_label="defect"), image, label)
        writer.add(Entry("drawn", "train", image_label="defect"), image, label)
    found = load_validated([str(parts), str(added)], ClassifierConfig(), with_targets, "t")
    learnt = {entry.name for entry in found.training.entries}
    assert "drawn" in learnt and learnt >= {f"on_{name}" for name in train_names if name not in held_out}
    assert not learnt & {f"on_{name}" for name in held_out} and found.left_out == len(held_out)
    assert found.synthetic == 1 + len(train_names) - len(held_out)
    assert names_of(found.validation.entries) == held_out
    assert all(entry.donor is None for entry in found.validation.entries)


def test_a_second_set_is_never_validated_on(parts, tmp_path):
    other = write_parts(tmp_path / "other", 20, first=100)
    found = load_validated([str(parts), str(other)], ClassifierConfig(), with_targets, "t")
    assert all(int(name.split("_")[1]) < 100 for name in names_of(found.validation.entries))
    assert any(int(name.split("_")[1]) >= 100 for name in names_of(found.training.entries))


@pytest.mark.parametrize("defective, only", [(0.0, "good"), (1.0, "defects")])
def test_a_classifier_wants_good_images_and_defects(tmp_path, defective, only):
    data = write_parts(tmp_path / "data", defective=defective)
    with pytest.raises(ValueError, match=rf"data: all \d+ images to be learnt from are {only}; a classifier needs"):
        ClassifierJob([str(data)], (), ClassifierConfig())


def test_a_segmenter_wants_labels_and_a_defect(tmp_path):
    with pytest.raises(ValueError, match="no train image with pixel labels"):
        SegmenterJob([str(write_parts(tmp_path / "unlabelled", labelled=False))], (), SegmenterConfig())
    with pytest.raises(ValueError, match="no pixel to be learnt from is of another class than good"):
        SegmenterJob([str(write_parts(tmp_path / "good", defective=0.0))], (), SegmenterConfig())


def test_sets_of_other_classes_or_flips_are_refused_by_name(parts, tmp_path):
    classes = (*PART_CLASSES, LabelClass(2, "dirt", (1, 2, 3)))
    other = write_parts(tmp_path / "other", classes=classes)
    with pytest.raises(
        ValueError, match=rf"{other}: classes must be those of {parts}: good, defect; got good, defect, dirt"
    ):
        SegmenterJob([str(parts), str(other)], (), SegmenterConfig())
    with pytest.raises(ValueError, match="flips must be those of"):
        SegmenterJob([str(parts), str(write_parts(tmp_path / "h", flips="h"))], (), SegmenterConfig())


def test_a_set_of_another_size_is_refused_with_the_way_out_which_leads_out(parts, tmp_path):
    drawn = Dataset.open(parts).derived("generate", {}) | {"size": (32, 32)}
    with DatasetWriter(tmp_path / "drawn", **drawn) as writer:
        writer.add(Entry("drawn", "train"), np.zeros((32, 32), np.uint8), np.zeros((32, 32), np.uint8))
    sets = [str(parts), str(tmp_path / "drawn")]
    with pytest.raises(ValueError, match=r"drawn: size must be .*; --resolution brings all to one size"):
        ClassifierJob(sets, (), ClassifierConfig())
    ClassifierJob(sets, (), ClassifierConfig(resolution=16))


def test_a_run_says_how_well_its_best_network_scored_on_validation_photographs(parts, tmp_path, capsys):
    train(ClassifierConfig(batch=8, validate_every=2), [parts], tmp_path / "run", 4)
    best = validations(tmp_path / "run")[4]
    told = f"step 4: best f1 {best['validation/best']:.3f} of validation, at step {best['validation/best_step']:.0f}"
    assert told in capsys.readouterr().out


# Learning -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", CONFIGS)
def test_it_learns_what_a_part_with_a_spot_looks_like(parts, tmp_path, model):
    run = tmp_path / "run"
    train(CONFIGS[model], [parts], run, 96)
    scores = validations(run)
    assert set(scores) <= set(range(8, 97, 8))
    last = scores[96]
    assert last["validation/best"] == max(line["validation/best"] for line in scores.values())
    assert last["validation/best"] > {"classifier": 0.9, "segmenter": 0.5}[model]
    assert (run / "samples" / "00000096.png").exists()


@pytest.mark.parametrize("model", CONFIGS)
def test_a_stopped_and_resumed_run_ends_in_the_same_bytes(parts, tmp_path, model):
    config = CONFIGS[model]
    train(config, [parts], tmp_path / "whole", 40)
    train(config, [parts], tmp_path / "broken", 19)
    assert resume(tmp_path / "broken", goal=Goal(steps=27), say=lambda line: None, quiet=True)
    assert resume(tmp_path / "broken", goal=Goal(steps=40), say=lambda line: None, quiet=True)
    for name in FILES:
        whole, broken = ((tmp_path / run / "checkpoints/40" / name).read_bytes() for run in ("whole", "broken"))
        assert whole == broken, name


def test_the_best_network_is_kept_whatever_comes_after(parts, tmp_path, monkeypatch):
    scores = iter([0.2, 0.7, 0.5, 0.7])
    monkeypatch.setattr(downstream.SegmenterLearner, "validate", lambda self, network: {"iou": next(scores)})
    learner = train(CONFIGS["segmenter"], [parts], tmp_path / "run", 32)
    assert int(learner.best.step) == 16 and float(learner.best.score) == 0.7
    tensors = latest(tmp_path / "run").tensors(FILES[0])
    assert int(tensors["best.step"]) == 16
    now = {k.removeprefix("network."): v for k, v in tensors.items() if k.startswith("network.")}
    then = {k.removeprefix("best.network."): v for k, v in tensors.items() if k.startswith("best.network.")}
    assert now.keys() == then.keys() and any(not torch.equal(now[k], then[k]) for k in now)


def test_patience_ends_a_run_early_and_for_good(parts, tmp_path, monkeypatch):
    monkeypatch.setattr(downstream.SegmenterLearner, "validate", lambda self, network: {"iou": 0.3})
    config = SegmenterConfig(batch=4, validate_every=4, patience=2)
    learner = train(config, [parts], tmp_path / "run", 400)
    assert learner.step == 12  # best at 4, none better at 8 and 12
    assert not resume(tmp_path / "run", say=lambda line: None, quiet=True)


def test_validation_changes_nothing_that_training_sees(parts, tmp_path):
    runs = []
    for every in (4, 16):
        run = tmp_path / f"every_{every}"
        train(ClassifierConfig(batch=8, validate_every=every, colour=0.2), [parts], run, 16)
        tensors = latest(run).tensors(FILES[0])
        runs.append({k: v for k, v in tensors.items() if k.startswith("network.")})
    assert all(torch.equal(runs[0][k], runs[1][k]) for k in runs[0])


def test_a_goal_before_the_first_validation_is_refused(parts, tmp_path):
    with pytest.raises(ValueError, match="--steps: must be at least --validate-every, 400"):
        train(ClassifierConfig(), [parts], tmp_path / "run", 20)
    assert not (tmp_path / "run").exists()


def test_other_image_labels_are_other_data(tmp_path):
    data = write_parts(tmp_path / "parts")
    train(CONFIGS["classifier"], [data], tmp_path / "run", 8)
    path = data / "images.jsonl"
    path.write_text(path.read_text().replace('"image_label": "good"', '"image_label": "defect"', 2))
    with pytest.raises(ValueError, match="no longer holds the images and labels"):
        resume(tmp_path / "run", goal=Goal(steps=16), say=lambda line: None, quiet=True)


def test_weights_that_do_not_fit_stop_before_the_run_has_a_folder(parts, tmp_path, monkeypatch):
    monkeypatch.undo()  # the real networks
    path = tmp_path / "weights.pth"
    torch.save({"conv1.weight": torch.zeros(64, 3, 7, 7)}, path)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(ValueError, match=r"weights\.pth: is cut short"):
        train(ClassifierConfig(encoder_weights=str(path), validate_every=1), [parts], tmp_path / "run", 4)
    assert not (tmp_path / "run").exists()
    with pytest.raises(FileNotFoundError, match=r"missing\.pth"):
        weights = str(tmp_path / "missing.pth")
        train(SegmenterConfig(encoder_weights=weights, validate_every=1), [parts], tmp_path / "run", 4)


def test_the_classes_of_pixels_weigh_by_how_rare_they_are(parts):
    job = SegmenterJob([str(parts)], (), SegmenterConfig())
    learner = downstream.SegmenterLearner(CONFIGS["segmenter"], job_task(job), job.found, CPU, torch.float32)
    share = float((job.found.training.labels > 0).float().mean())
    assert torch.allclose(learner.weights, torch.tensor([0.5 / (1 - share), 0.5 / share]), rtol=1e-5)


def job_task(job):
    return Task(job.size, job.channels, tuple(c.name for c in job.classes))


def test_a_signal_leaves_a_run_that_goes_on(parts, tmp_path, monkeypatch):
    seen = []
    loss = downstream.ClassifierLearner.loss

    def interrupted(self, batch):
        seen.append(self.step)
        if self.step == 10:
            os.kill(os.getpid(), signal.SIGTERM)
        return loss(self, batch)

    monkeypatch.setattr(downstream.ClassifierLearner, "loss", interrupted)
    with pytest.raises(Interrupted):
        train(CONFIGS["classifier"], [parts], tmp_path / "run", 24)
    assert latest(tmp_path / "run").step == 11
    assert resume(tmp_path / "run", say=lambda line: None, quiet=True)
    assert seen == list(range(24))


@pytest.mark.parametrize("model", CONFIGS)
def test_half_precision_learns_too_and_keeps_weights_in_full(parts, tmp_path, monkeypatch, model):
    monkeypatch.setattr(downstream_job, "SMALLEST_IN_BF16", 16)
    config = replace(CONFIGS[model], precision="bf16")
    learner = train(config, [parts], tmp_path / "run", 64)
    assert float(learner.best.score) > {"classifier": 0.8, "segmenter": 0.3}[model]
    assert all(p.dtype == torch.float32 for p in learner.network.parameters())
    seen = []
    learner.network.register_forward_hook(lambda module, inputs, output: seen.append(output.dtype))
    images, _ = next(learner.batches())
    labels, targets = learner.validation.labels[: len(images)].long(), learner.validation.targets()[: len(images)]
    downstream.learn_phase(learner, Batch(images, labels, targets))
    assert seen == [torch.bfloat16]


def test_a_segmenter_that_says_one_thing_of_every_pixel_is_told_of(parts, tmp_path):
    class Sure(torch.nn.Conv2d):
        """Defect, whatever it is shown."""

        def __init__(self, classes):
            super().__init__(1, classes, 1)
            torch.nn.init.zeros_(self.weight)
            self.bias.data = torch.tensor([-40.0, 40.0])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(downstream, "Segmenter", Sure)
        train(SegmenterConfig(batch=4, validate_every=4), [parts], tmp_path / "run", 8)
    warnings = [line["warnings"] for line in log_of(tmp_path / "run") if "warnings" in line]
    assert warnings == [["defect is predicted for every pixel of all validation images"]]
    train(CONFIGS["segmenter"], [parts], tmp_path / "other", 48)
    assert not any("warnings" in line for line in log_of(tmp_path / "other"))


def test_a_run_that_begins_with_another_ones_networks_judges_them_by_its_own_photographs(parts, tmp_path, monkeypatch):
    scores = iter([0.9, 0.4, 0.3])
    monkeypatch.setattr(downstream.ClassifierLearner, "validate", lambda self, network: {"f1": next(scores)})
    config = ClassifierConfig(batch=8, validate_every=4)
    train(config, [parts], tmp_path / "first", 4)
    other = write_parts(tmp_path / "other", 20, first=100)
    learner = train(config, [other], tmp_path / "second", 8, networks=tmp_path / "first")
    assert int(learner.best.step) == 4 and float(learner.best.score) == 0.4
    with pytest.raises(ValueError, match="--encoder-weights: has no effect with --networks"):
        weighed = replace(config, encoder_weights="weights.pth")
        train(weighed, [other], tmp_path / "third", 4, networks=tmp_path / "first")


@pytest.mark.parametrize("oversample", [0, 200])
def test_defects_pull_as_much_as_good_images_however_often_they_are_drawn(parts, oversample):
    config = ClassifierConfig(class_balanced=True, oversample=oversample)
    job = ClassifierJob([str(parts)], (), config)
    learner = downstream.ClassifierLearner(config, job_task(job), job.found, CPU, torch.float32)
    targets = job.found.training.targets()
    drawn = (int(targets.sum()) + oversample) / (len(targets) + oversample)
    assert float(learner.weights[1]) * drawn == pytest.approx(0.5) == float(learner.weights[0]) * (1 - drawn)


def test_equal_names_of_other_photographs_hold_nothing_back(parts, tmp_path):
    other = write_parts(tmp_path / "other")  # of another folder, its photographs called alike
    found = load_validated([str(parts), str(other)], ClassifierConfig(), with_targets, "t")
    assert not found.left_out
    assert sum(entry in found.training.entries for entry in Dataset.open(other).split("train")) == 60


def test_a_photograph_of_a_held_out_group_is_not_learnt_from_in_another_set(tmp_path):
    def write(folder, photograph, **source):
        about = dict(name="parts", classes=PART_CLASSES, size=(16, 16), channels=1, flips="hv")
        with DatasetWriter(folder, **about, **source) as writer:
            for i in range(10):
                entry = Entry(f"part_{i}", "train", photographs=(f"part_{i}_{photograph}",), group=f"part_{i}")
                writer.add(entry, *draw_part(np.random.default_rng(i), i % 2 == 0))
        return str(folder)

    first = write(tmp_path / "first", "before")
    second = write(tmp_path / "second", "after", source={"importer": "select", "folder": first, "of": {}})
    found = load_validated([first, second], ClassifierConfig(), with_targets, "t")
    learnt, held_out = ({entry.group for entry in part.entries} for part in (found.training, found.validation))
    assert found.left_out == len(held_out) == 2 and not learnt & held_out


def test_a_defect_too_small_for_the_resolution_is_still_one_to_a_classifier(tmp_path):
    data = tmp_path / "parts"
    with DatasetWriter(data, name="parts", classes=PART_CLASSES, size=(16, 16), channels=1, flips="hv") as writer:
        for i in range(20):
            image, label = draw_part(np.random.default_rng(i), False)
            label[2, 2] = i % 2  # of which nearest neighbours at half the size see nothing
            writer.add(Entry(f"part_{i}", "train", photographs=(f"part_{i}",)), image, label)
    for resolution in (0, 8):
        found = ClassifierJob([str(data)], (), ClassifierConfig(resolution=resolution)).found
        for part in (found.training, found.validation):
            assert part.targets().tolist() == [int(entry.name.split("_")[1]) % 2 for entry in part.entries]
            assert bool(part.labels.any()) is (resolution == 0)
    with pytest.raises(ValueError, match="no pixel to be learnt from"):
        SegmenterJob([str(data)], (), SegmenterConfig(resolution=8))


def test_a_defect_that_did_not_outlive_resizing_teaches_no_segmenter_that_it_is_good(tmp_path):
    data = write_parts(tmp_path / "parts")
    for entry in Dataset.open(data).split("train"):
        if entry.name.startswith("part_10_"):
            Image.fromarray(np.zeros((16, 16), np.uint8)).save(data / "labels" / f"{entry.name}.png")
    found = SegmenterJob([str(data)], (), SegmenterConfig()).found
    named = {entry.name for part in (found.training, found.validation) for entry in part.entries}
    assert found.untold == 2 and not named & {"part_10_0", "part_10_1"}
    assert ClassifierJob([str(data)], (), ClassifierConfig()).found.untold == 0


def test_images_too_small_for_half_precision_are_learnt_in_full(parts, monkeypatch):
    monkeypatch.setattr(precision, "cpu_flags", lambda: {"avx512_bf16"})
    job = ClassifierJob([str(parts)], (), ClassifierConfig())
    assert job.settle(ClassifierConfig(), CPU).precision == "fp32"
    with pytest.raises(
        ValueError, match="precision bf16: needs images of at least 32 pixels a side on a CPU, got 16x16"
    ):
        job.settle(ClassifierConfig(precision="bf16"), CPU)
    larger = ClassifierJob([str(parts)], (), ClassifierConfig(resolution=32))
    assert larger.settle(ClassifierConfig(resolution=32), CPU).precision == "bf16"
