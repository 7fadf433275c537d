"""Generating and evaluating from a run: sequences that can be repeated, datasets that can be opened, honest figures."""

import json

import numpy as np
import pytest
import torch
from plates import SMALL, pumpgan

from pumpgan.data.check import check
from pumpgan.data.dataset import Dataset
from pumpgan.inference.evaluate import evaluate
from pumpgan.inference.generate import Tally, generate
from pumpgan.inference.samples import TrainedGenerator
from pumpgan.inference.wanted import Wanted


@pytest.fixture(scope="module")
def run(plates, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "run"
    result = pumpgan("train", "--data", plates, *SMALL, "--out", out, "--steps", 20)
    assert result.returncode == 0, result.stderr
    return out


def test_a_sample_is_the_same_whichever_others_are_asked_for(run):
    trained = TrainedGenerator(run)
    whole, rest = next(trained.samples(7)), next(trained.samples(7, start=5))
    assert np.array_equal(whole.images[5:], rest.images) and np.array_equal(whole.labels[5:], rest.labels)
    assert whole.numbers[5:] == rest.numbers


def test_seeds_name_different_sequences(run):
    trained = TrainedGenerator(run)
    assert not np.array_equal(next(trained.samples(1)).images, next(trained.samples(2)).images)


def test_truncation_draws_images_together(run):
    trained = TrainedGenerator(run)
    spread = [next(trained.samples(0, truncation=psi)).images.std(axis=0).mean() for psi in (1.0, 0.0)]
    assert spread[1] < spread[0]


def test_a_generated_set_is_a_dataset_that_passes_its_check(run, tmp_path):
    out = tmp_path / "generated"
    assert generate(run, out, 10, seed=3) == Tally(10, 10)
    assert check(out) == []
    dataset = Dataset.open(out)
    assert len(dataset.split("train")) == 10 and dataset.generator["checkpoint"] == 20
    expected = next(TrainedGenerator(run).samples(3))
    for index, entry in enumerate(dataset.split("train")):
        assert np.array_equal(dataset.image(entry), expected.images[index])
        assert np.array_equal(dataset.label(entry), expected.labels[index])


def test_only_images_with_the_class_are_kept(run, tmp_path):
    out = tmp_path / "holes"
    tally = generate(run, out, 6, wanted=Wanted(with_class="hole", min_fraction=0.05))
    dataset = Dataset.open(out)
    assert all((dataset.label(e) == 2).mean() > 0.05 for e in dataset.split("train"))
    assert tally.kept == 6 and tally.drawn == 6 + tally.rejected["with_class"]


def test_an_image_label_can_be_stated(run, tmp_path):
    generate(run, tmp_path / "defects", 2, image_label="defect")
    assert [e.image_label for e in Dataset.open(tmp_path / "defects").split("train")] == ["defect"] * 2


def test_an_unknown_class_gets_its_nearest_name(run, tmp_path):
    result = pumpgan("generate", "--run", run, "--count", 2, "--out", tmp_path / "x", "--with-class", "hol")
    assert result.returncode == 1 and "'hole'" in result.stderr and not (tmp_path / "x").exists()


def test_a_set_with_something_in_it_is_not_overwritten(run, tmp_path):
    (tmp_path / "kept.txt").write_text("mine")
    result = pumpgan("generate", "--run", run, "--count", 2, "--out", tmp_path)
    assert result.returncode == 1 and "not empty" in result.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["kept.txt"]


def test_a_folder_that_is_no_run_is_named(plates, tmp_path):
    result = pumpgan("generate", "--run", plates, "--count", 2, "--out", tmp_path / "x")
    assert result.returncode == 1 and f"is {plates} a run folder?" in result.stderr


def test_evaluation_compares_and_is_kept(run, plates):
    result = evaluate(run, plates, metric="labels", count=32)
    real = [np.asarray(Dataset.open(plates).label(e)) for e in Dataset.open(plates).split("train")]
    share = 100 * np.mean([(label == 1).mean() for label in real])
    assert result["classes"]["plate"]["real"]["pixels_percent"] == pytest.approx(share)
    assert result["generated_images"] == 32 and result["real_images"] == 48
    kept = json.loads((run / "evaluations.jsonl").read_text().splitlines()[-1])
    assert kept["classes"] == json.loads(json.dumps(result["classes"]))


def test_evaluation_is_printed_as_a_table_and_as_json(run, plates):
    table = pumpgan("evaluate", "--run", run, "--data", plates, "--count", 8)
    assert table.returncode == 0 and "plate" in table.stdout
    printed = pumpgan("evaluate", "--run", run, "--data", plates, "--count", 8, "--json")
    assert json.loads(printed.stdout)["generated_images"] == 8


def test_other_classes_are_refused(run, tmp_path):
    from plates import draw_plate

    from pumpgan.data.dataset import PART_CLASSES, Entry
    from pumpgan.data.writer import DatasetWriter

    image, label = draw_plate(np.random.default_rng(0))
    with DatasetWriter(tmp_path / "d", name="x", classes=PART_CLASSES, size=(16, 16), channels=3, flips="h") as writer:
        writer.add(Entry("a", "train"), image, label.clip(0, 1))
    with pytest.raises(ValueError, match=r"its classes are good, defect; the run's are ground, plate, hole"):
        evaluate(run, tmp_path / "d")


def test_truncation_to_nothing_leaves_the_running_mean_of_w(run):
    trained = TrainedGenerator(run)
    styles, _ = trained._inputs(0, range(4), 0.0, None)
    assert trained.network.mapping.average.any()  # training moved it away from its first zeros
    torch.testing.assert_close(styles, trained.network.mapping.average.expand_as(styles))
