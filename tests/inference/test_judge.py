"""Downstream models on test photographs: the best network, all scores, a line an image, and what is refused."""

import json
import shutil
from dataclasses import replace

import pytest
import torch
from parts import names_of, use_small_networks, write_parts
from safetensors.torch import load_file

from pumpgan.data.dataset import PART_CLASSES, Dataset, LabelClass
from pumpgan.data.packed import pack
from pumpgan.inference.judge import judge
from pumpgan.inference.predictor import Predictor
from pumpgan.metrics.segmentation import Areas, overlaps
from pumpgan.train.checkpoint import FILES
from pumpgan.train.downstream_config import ClassifierConfig, SegmenterConfig
from pumpgan.train.loop import Goal
from pumpgan.train.record import RunRecord
from pumpgan.train.run import start

CONFIGS = {
    "classifier": ClassifierConfig(batch=16, rate=0.01, validate_every=16),
    "segmenter": SegmenterConfig(batch=8, rate=0.02, validate_every=16),
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_parts(tmp_path_factory.mktemp("data") / "parts")


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    """A run of each model."""
    folder = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        use_small_networks(patch)
        for model, config in CONFIGS.items():
            options = dict(preset="tiny", device=torch.device("cpu"), quiet=True, say=lambda line: None)
            start(config, data=[data], run=folder / model, goal=Goal(steps=64), **options)
    return folder


@pytest.fixture(autouse=True)
def small_networks(monkeypatch):
    use_small_networks(monkeypatch)


@pytest.mark.parametrize("model", CONFIGS)
def test_the_test_photographs_are_scored_and_each_image_has_a_line(data, trained, model):
    result = judge(trained / model, data)
    scores, test = result["scores"], Dataset.open(data).split("test")
    assert result["split"] == "test" and scores["images"] == len(test) == 20 and result["photographs"] == 10
    folder = trained / model / "evaluations" / f"{result['checkpoint']}-parts-test"
    lines = [json.loads(line) for line in (folder / "images.jsonl").read_text().splitlines()]
    assert [line["name"] for line in lines] == [entry.name for entry in test]
    assert {name for line in lines for name in line["photographs"]} == names_of(test)
    if model == "classifier":
        right = [line["target"] == (line["probability"] > 0.5) for line in lines]
        assert scores["accuracy"] == sum(right) / len(right) > 0.8
    else:
        again = overlaps(Areas.from_images(lines, ["good", "defect"]), ["good", "defect"])
        assert again["iou"] == scores["iou"] and scores["iou"]["defect"] > 0.4
    stored = json.loads((folder / "scores.json").read_text())
    assert stored["scores"] == scores and stored["curve"]["recall"][-1] == pytest.approx(1)
    assert json.loads((trained / model / "evaluations.jsonl").read_text().splitlines()[-1]) == result


def test_sets_of_one_name_in_two_places_have_a_folder_each(data, trained, tmp_path):
    other = write_parts(tmp_path / data.name, first=300)
    folders = [judge(trained / "classifier", place)["folder"] for place in (data, other, data, other)]
    assert folders[:2] == folders[2:] and folders[1] == f"{folders[0]}-2"


def test_it_is_the_best_network_that_answers(data, trained):
    predictor = Predictor(trained / "segmenter")
    tensors = {k: v for k, v in predictor.network.state_dict().items()}
    state = json.loads((trained / "segmenter" / "checkpoints" / "64" / "state.json").read_text())
    assert state["step"] == 64 and 0 < predictor.step <= 64
    stored = load_file(trained / "segmenter" / "checkpoints" / "64" / FILES[0])
    assert all(torch.equal(stored[f"best.network.{k}"], v) for k, v in tensors.items())
    packed = pack(Dataset.open(data), "test")
    alone = torch.cat([predictor.label_maps(packed.images[i : i + 1])[1] for i in range(len(packed))])
    labels, foreground = predictor.label_maps(packed.images)
    assert torch.allclose(alone, foreground, atol=1e-5)  # an image's answer does not depend on its company
    assert torch.equal(labels, (foreground > 0.9).to(torch.uint8))


def test_a_set_that_was_trained_on_is_no_test(data, trained, tmp_path):
    swapped = tmp_path / "swapped"
    shutil.copytree(data, swapped)
    path = swapped / "images.jsonl"
    text = path.read_text().replace('"split": "train"', '"split": "x"').replace('"split": "test"', '"split": "train"')
    path.write_text(text.replace('"split": "x"', '"split": "test"'))
    about = json.loads((swapped / "dataset.json").read_text())
    for place in (data, swapped):  # both cut from one folder of photographs
        about["source"] = {"importer": "pump", "folder": "/photographs"}
        (place / "dataset.json").write_text(json.dumps(about))
    with pytest.raises(ValueError, match="photograph part_0 was trained on, in"):
        judge(trained / "classifier", swapped)
    assert judge(trained / "classifier", swapped, split="train")["scores"]["images"] == 20
    built = tmp_path / "built"  # on that run's networks, with data of its own
    shutil.copytree(trained / "classifier", built)
    other = str(write_parts(tmp_path / "other", first=100))
    replace(RunRecord.read(built), data=(other,), networks=str(trained / "classifier")).write(built)
    with pytest.raises(ValueError, match="photograph part_0 was trained on, in"):
        judge(built, swapped)


@pytest.mark.parametrize(
    "about, message",
    [
        (
            dict(classes=(*PART_CLASSES, LabelClass(2, "dirt", (1, 2, 3)))),
            "its classes are good, defect, dirt",
        ),
        (dict(labelled=False), "no test image has pixel labels to compare with"),
    ],
)
def test_a_set_that_does_not_fit_is_refused(trained, tmp_path, about, message):
    other = write_parts(tmp_path / "other", first=200, **about)
    with pytest.raises(ValueError, match=message):
        judge(trained / "segmenter", other)


def test_a_run_that_has_validated_nothing_says_so(data, tmp_path):
    run = tmp_path / "run"
    config = ClassifierConfig(batch=4, validate_every=1000)
    options = dict(preset="tiny", device=torch.device("cpu"), quiet=True, say=lambda line: None)
    start(config, data=[data], run=run, goal=Goal(minutes=0.001), **options)
    with pytest.raises(ValueError, match="has validated no network yet, which it does every 1000 steps"):
        judge(run, data)
