"""A study runs each stage once, ends in the same bytes however often it was killed, and says what failed."""

import json
import multiprocessing
import os
import random
import shutil
import sys
import time

import pytest
from parts import use_small_networks, write_parts
from small_study import GAN, results, run_small_study, small_study

from pumpgan.studies.schedule import StageFailed, run
from pumpgan.studies.stages import Stage, dataset, evaluate, select, train
from pumpgan.studies.store import Store


@pytest.fixture(scope="module", autouse=True)
def settings(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PUMPGAN_CACHE", str(tmp_path_factory.mktemp("cache")))
        use_small_networks(patch)
        yield


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_parts(tmp_path_factory.mktemp("data") / "parts", 24)


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory):
    """(the study, its store, what it said)"""
    stages, store, said = small_study(data), Store(tmp_path_factory.mktemp("whole") / "stages"), []
    run(stages, store, parallel=0, threads=1, say=said.append)
    return stages, store, said


def quietly(stages, store, **options):
    said = []
    run(stages, store, **{"parallel": 0, "threads": 1, "say": said.append, **options})
    return said


def times_of(store: Store) -> dict[str, int]:
    return {path.parent.name: path.stat().st_mtime_ns for path in store.folder.glob("*/done.json")}


# In this process ---------------------------------------------------------------------------------------------


def test_a_study_runs_from_a_dataset_to_scores(whole):
    stages, store, said = whole
    scores, labels = store.result(stages[0]), store.result(stages[2])
    assert scores["kind"] == "classifier" and scores["split"] == "test" and scores["scores"]["images"] == 12
    assert labels["classes"]["defect"]["generated"]["presence_percent"] >= 0 and labels["generated_images"] == 16
    assert said[0].startswith("8 stages to run, about ") and any("semgan gan begins" in line for line in said)
    assert said[-1].split(";")[0].startswith("labels: done in ")
    gan = stages[2].inputs["run"][0]
    best = store.result(gan)["best_step"]
    drawn = next(store.folder.glob("drawn-*/dataset/dataset.json"))
    assert best in (4, 8, 12) and json.loads(drawn.read_text())["generator"]["checkpoint"] == best


def test_nothing_that_results_are_made_of_holds_a_clock_or_a_path(whole, data):
    stages, store, _ = whole
    for content in results(stages, store).values():
        for word in (b'"when"', b'"seconds"', str(store.folder).encode(), str(data).encode()):
            assert word not in content


def test_what_is_done_is_not_done_again_in_whatever_study(whole, data):
    stages, store, _ = whole
    before = times_of(store)
    assert quietly(stages, store) == [f"all 8 stages are done: {store.folder}"]
    again = small_study(data)
    renamed = Stage("other-name", again[0].action, again[0].options, again[0].inputs)
    assert store.result(renamed) == store.result(again[0])
    wider = [renamed, select("few", dataset("parts", data), count=3)]
    assert [line.split("]")[1] for line in quietly(wider, store) if "begins" in line] == [" select few begins"]
    assert {name: time for name, time in times_of(store).items() if not name.startswith("few-")} == before


def test_only_what_is_still_needed_is_made_again(whole, tmp_path, data):
    stages, store, _ = whole
    copy = Store(tmp_path / "stages")
    shutil.copytree(store.folder, copy.folder)
    shutil.rmtree(next(copy.folder.glob("defects-*")))
    shutil.rmtree(next(copy.folder.glob("drawn-*")) / "dataset")  # done, its product removed to gain space
    assert "are done" in quietly(stages, copy)[0]
    shutil.rmtree(next(copy.folder.glob("helped-scores-*")))
    assert [line for line in quietly(stages, copy) if "begins" in line] == [
        "[1/1] evaluate helped-scores begins"
    ]  # its classifier is still there
    shutil.rmtree(next(copy.folder.glob("helped-*[!s]-*"), None) or next(copy.folder.glob("helped-????????????")))
    shutil.rmtree(next(copy.folder.glob("helped-scores-*")))
    begun = [line.split()[2] for line in quietly(stages, copy) if "begins" in line]
    assert begun == ["drawn", "helped", "helped-scores"]  # and no GAN
    assert results(stages, copy) == results(stages, store)


def test_a_study_that_was_killed_again_and_again_ends_in_the_same_bytes(whole, data, tmp_path, monkeypatch):
    stages, store, _ = whole
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))  # the server of processes is to import all, once
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["small_study"])

    def begin(folder):
        process = context.Process(target=run_small_study, args=(data, folder, tmp_path / "cache"))
        process.start()
        return process

    unbroken = begin(tmp_path / "unbroken")  # also to see how long it takes, with all imported
    unbroken.join()
    assert unbroken.exitcode == 0
    begun = time.monotonic()
    timed = begin(tmp_path / "timed")
    timed.join()
    of_a_stage, draw = (time.monotonic() - begun) / 8, random.Random(0)
    for done in (0, 1, 3):  # of eight stages, so that some are left whenever the axe falls
        process = begin(tmp_path / "broken")
        while len(list((tmp_path / "broken").glob("*/done.json"))) < done:
            assert process.is_alive()
            time.sleep(0.002)
        process.join(draw.uniform(0, 0.5) * of_a_stage)
        assert process.is_alive()
        process.kill()
        process.join()
    final = begin(tmp_path / "broken")
    final.join()
    assert final.exitcode == 0
    broken = Store(tmp_path / "broken")
    assert results(stages, broken) == results(stages, Store(tmp_path / "unbroken")) == results(stages, store)
    for path in (tmp_path / "unbroken").rglob("*.safetensors"):
        assert path.read_bytes() == (broken.folder / path.relative_to(tmp_path / "unbroken")).read_bytes(), path


def test_the_first_failure_names_the_stage_its_log_and_the_reason(data, tmp_path):
    parts, store = dataset("parts", data), Store(tmp_path / "stages")
    bad = train("bad", "semgan", [parts], preset="tiny", steps=2, **GAN, dist_loss="nothing")
    after = evaluate("after", bad, parts)
    with pytest.raises(StageFailed, match=r"^bad: .*'nothing'.*; its log is .*/bad-[0-9a-f]{12}/log.txt$"):
        quietly([after], store)
    assert "nothing" in (store.place(bad) / "log.txt").read_text()
    assert not (store.folder / "after").exists() and store.done(bad) is None


def test_a_dataset_that_changes_while_a_study_runs_is_noticed(data, tmp_path):
    changing = tmp_path / "changing"
    shutil.copytree(data, changing)
    few = select("few", dataset("parts", changing), count=3)
    image = next((changing / "images").iterdir())
    image.write_bytes(image.read_bytes() + b"\0")
    with pytest.raises(StageFailed, match="has changed since the study began"):
        quietly([few], Store(tmp_path / "stages"))


def test_a_damaged_done_file_is_named(whole, tmp_path):
    stages, store, _ = whole
    copy = Store(tmp_path / "stages")
    shutil.copytree(store.folder, copy.folder)
    path = next(copy.folder.glob("labels-*/done.json"))
    path.write_text(path.read_text()[:100])
    with pytest.raises(ValueError, match=r"labels-.*/done.json: is cut short or damaged .*; remove .* to run it again"):
        quietly(stages, copy)


@pytest.mark.parametrize(
    "options, message",
    [(dict(parallel=-1), "parallel: must be"), (dict(threads=0), "threads: must be"), (dict(device="x"), "device:")],
)
def test_wrong_arguments_are_refused(data, tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        quietly([dataset("parts", data)], Store(tmp_path), **options)


def test_training_for_minutes_goes_on_for_what_is_left_of_them(data, tmp_path):
    parts, store = dataset("parts", data), Store(tmp_path / "stages")
    stage = train("model", "classifier", [parts], preset="tiny", minutes=0.02, batch=8, validate_every=2)
    quietly([stage], store)
    reached, place = store.result(stage)["steps"], store.place(stage)
    state = place / "run" / "checkpoints" / str(reached) / "state.json"
    state.write_text(json.dumps(json.loads(state.read_text()) | {"finished": False}))
    (place / "done.json").unlink()
    quietly([stage], store)
    assert store.result(stage)["steps"] == reached > 2  # they were up
