"""What is to be done, and how long it takes, as far as the store can tell."""

import math

import pytest
from parts import write_parts
from small_study import small_study

from pumpgan.studies.plan import RUN_BYTES, SECONDS, images_of, plan, table, work_of
from pumpgan.studies.stages import dataset, generate, in_order, paste, train
from pumpgan.studies.store import Store, write_done
from pumpgan.train.presets import MODELS


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_parts(tmp_path_factory.mktemp("data") / "parts", 24)


def finish(stage, store, **about):
    place = store.place(stage)
    store.product(stage).mkdir(parents=True)
    kind = stage.options.get("model", stage.action)
    about = dict(seconds=60.0, work=work_of(stage), bytes=5_000_000, result={}, kind=kind) | about
    write_done(place, dict(key=stage.key, name=stage.name, action=stage.action, **about))


def test_every_model_and_action_has_a_default():
    assert SECONDS.keys() == {*MODELS, "encoder", "generate", "select", "paste", "evaluate"}
    assert RUN_BYTES.keys() == {*MODELS, "encoder"}


def test_everything_is_to_do_at_first_and_takes_what_defaults_say(data, tmp_path):
    planned = plan(small_study(data), Store(tmp_path / "none"))
    assert [line.stage.name for line in planned] == [
        *("baseline", "baseline-scores", "defects", "gan", "drawn", "helped", "helped-scores", "labels")
    ]
    assert not any(line.done or line.measured for line in planned)
    gan = next(line for line in planned if line.stage.name == "gan")
    assert gan.minutes == pytest.approx(12 * 4 / 1000 * (16 / 64) ** 2 * SECONDS["semgan"] / 60)
    assert gan.bytes == RUN_BYTES["semgan"]
    assert not (tmp_path / "none").exists()
    assert table(planned).splitlines()[-1].startswith("8 of 8 to do, about 0 minutes and 0.")


def test_what_is_done_counts_and_tells_how_long_the_rest_takes(data, tmp_path):
    stages, store = small_study(data), Store(tmp_path)
    by_name = {stage.name: stage for stage in in_order(stages)}
    finish(by_name["baseline"], store)
    planned = {line.stage.name: line for line in plan(stages, store)}
    assert planned["baseline"].done and planned["baseline"].minutes == 1
    helped = planned["helped"]  # as many steps, so as long
    assert not helped.done and helped.measured and helped.minutes == pytest.approx(1) and helped.bytes == 5e6
    lines = table(list(planned.values()), parallel=1).splitlines()
    assert any(line.split() == ["helped", "classifier", "to", "do", "1.0", "5"] for line in lines)
    assert any(line.split() == ["baseline", "classifier", "done", "1.0", "5"] for line in lines)
    assert lines[-1].startswith("7 of 8 to do, about 1 minutes")


def test_what_only_done_stages_rest_on_is_not_to_do(data, tmp_path):
    stages, store = small_study(data), Store(tmp_path)
    for stage in stages:
        finish(stage, store)
    assert [line.stage.name for line in plan(stages, store)] == ["baseline-scores", "helped-scores", "labels"]


def test_images_are_counted_before_they_exist(data):
    parts = dataset("parts", data)
    pasted = paste("pasted", parts, copies=3)
    gan = train("gan", "stylegan2-ada", [parts, pasted], preset="thesis")
    assert images_of(pasted) == 48 * 3 and images_of(generate("drawn", gan, 50)) == 50
    assert work_of(gan) == pytest.approx(18_900 * (16 / 64) ** 2)
    timed = train("timed", "semgan", [parts], preset="tiny", minutes=30)
    assert not math.isnan(work_of(timed))
    line = next(line for line in plan([timed], Store("nowhere")) if line.stage.name == "timed")
    assert line.minutes == 30
