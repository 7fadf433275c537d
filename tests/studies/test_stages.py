"""Keys of stages: what they stand for, and what they do not hang on; and what is refused before anything runs."""

import json
import shutil

import pytest
from parts import write_parts
from small_study import GAN, small_study

from pumpgan.studies.actions import ACTIONS
from pumpgan.studies.stages import (
    PRODUCTS,
    Stage,
    dataset,
    evaluate,
    generate,
    in_order,
    paste,
    select,
    train,
    weights_file,
)
from pumpgan.train import presets


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_parts(tmp_path_factory.mktemp("data") / "parts", 16)


@pytest.fixture
def parts(data):
    return dataset("parts", data)


def test_every_action_has_a_product_and_every_product_that_is_made_an_action():
    assert PRODUCTS.keys() - {"dataset", "run", "file"} == ACTIONS.keys()


def test_a_dataset_is_known_by_content_wherever_it_is(data, parts, tmp_path):
    moved = tmp_path / "moved"
    shutil.copytree(data, moved)
    (moved / ".packed").mkdir()
    (moved / "samples.jsonl").write_text("no part of it\n")
    assert dataset("elsewhere", moved).key == parts.key
    label = next((moved / "labels").iterdir())
    content = label.read_bytes()
    label.unlink()
    without = dataset("unlabelled", moved).key
    label.write_bytes(content + b"\0")
    assert len({parts.key, without, dataset("changed", moved).key}) == 3


def test_a_key_follows_what_is_done_and_to_what_and_not_the_name(parts):
    one = select("one", parts, with_class="defect", seed=1)
    assert select("another", parts, with_class="defect", seed=1).key == one.key
    assert select("one", parts, with_class="defect", seed=2).key != one.key
    assert select("one", one, with_class="defect", seed=1).key != one.key
    assert paste("one", parts).key != paste("one", one).key


def test_the_role_and_the_order_of_inputs_count(parts):
    other = select("other", parts, count=3)

    def key(data, **inputs):
        return train("gan", "semgan", data, preset="tiny", **inputs).key

    keys = {key([parts, other]), key([other, parts]), key([parts], unlabelled=[other]), key([parts])}
    assert len(keys) == 4


def test_a_preset_that_comes_to_mean_something_else_makes_other_stages(parts, monkeypatch):
    before = train("gan", "semgan", [parts], preset="tiny", steps=3)
    monkeypatch.setitem(presets.SEMGAN_PRESETS["tiny"], "batch", 32)
    assert train("gan", "semgan", [parts], preset="tiny", steps=3).key != before.key


def test_fields_that_name_files_and_runs_take_stages(parts, tmp_path):
    (tmp_path / "weights.pt").write_bytes(b"weights")
    weights = weights_file("weights", tmp_path / "weights.pt")
    model = train("segmenter", "segmenter", [parts], preset="tiny", encoder_weights=weights)
    assert model.inputs["encoder_weights"] == (weights,) and "encoder_weights" not in model.options["config"]
    gan = train("gan", "semgan", [parts], preset="tiny")
    drawn = generate("drawn", gan, 3, agreement=0.5, segmenter=model)
    assert drawn.inputs["segmenter"] == (model,) and drawn.options["wanted"] == {"agreement": 0.5}


def test_stages_come_after_what_they_need_and_once(data):
    names = [stage.name for stage in in_order(small_study(data))]
    assert len(names) == len(set(names)) == 9
    for earlier, later in (("parts", "defects"), ("defects", "gan"), ("gan", "drawn"), ("drawn", "helped")):
        assert names.index(earlier) < names.index(later)


def test_two_stages_of_one_name_are_refused(parts):
    both = [select("some", parts, count=2), select("some", parts, count=3)]
    with pytest.raises(ValueError, match="stage some: two different stages have this name"):
        in_order(both)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda p: Stage("a/b", "select"), "a name must be letters, digits"),
        (lambda p: Stage("a", "merge"), "action must be one of dataset, run, file, select"),
        (lambda p: Stage("a", "select", {"share": float("nan")}), "options must be JSON-ready"),
        (lambda p: Stage("a", "select", {"share": (1, 2)}), "lists and not tuples"),
        (lambda p: select("a", p, with_class="defekt"), "no class 'defekt'; .*defect"),
        (lambda p: train("a", "semgan", [p], preset="auto"), "model and preset must be of semgan with tiny"),
        (lambda p: train("a", "semgan", [p], preset="tiny", steps=1, minutes=1), "state steps or minutes, not both"),
        (lambda p: train("a", "semgan", [p], preset="tiny", batch=0), "--batch: must be at least 1"),
        (lambda p: train("a", "classifier", [p], preset="tiny", batsh=3), "ClassifierConfig has no 'batsh'.*batch"),
        (lambda p: generate("a", p, 3), "needs a run where parts is, which is a stage of dataset"),
        (lambda p: train("a", "semgan", [gan(p)], preset="tiny"), "needs a dataset where gan is"),
        (lambda p: generate("a", gan(p), 3, realisme=1), "Wanted has no 'realisme'"),
        (lambda p: generate("a", gan(p), 3, min_fraction=0.5), "--min-fraction: needs --with-class"),
        (lambda p: generate("a", gan(p), 3, checkpoint="best"), "depends on how fast the machine is"),
        (lambda p: evaluate("a", model(p), p, checkpoint="best"), "are asked of GANs, not of a classifier"),
    ],
)
def test_what_cannot_be_is_refused_when_it_is_said(parts, make, message):
    with pytest.raises(ValueError, match=message):
        make(parts)


def gan(parts):
    return train("gan", "semgan", [parts], preset="tiny")


def model(parts):
    return train("model", "classifier", [parts], preset="tiny")


def test_the_options_of_a_stage_are_plain(parts):
    made = train("gan", "semgan", [parts], preset="tiny", steps=4, **GAN)
    assert json.loads(json.dumps(made.options)) == made.options
    assert made.options["config"]["checkpoint_every"] == 4 and made.options["defaults"]["batch"] == 16
