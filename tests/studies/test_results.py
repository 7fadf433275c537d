"""Studies as a user gets them: arms, tables with the thesis's beside them, plots; the same bytes when asked again."""

import json
from dataclasses import replace

import pytest
import torch
from parts import use_small_networks
from small_gan import SMALL_CONFIG

from pumpgan.data.importers import import_dataset
from pumpgan.report.study import write_pages
from pumpgan.studies.classification import classification
from pumpgan.studies.design import Effort
from pumpgan.studies.results import write_results
from pumpgan.studies.schedule import run
from pumpgan.studies.segmentation import segmentation
from pumpgan.studies.stages import dataset, in_order, trained_run
from pumpgan.studies.store import Store
from pumpgan.train.config import SemganConfig
from pumpgan.train.loop import Goal
from pumpgan.train.run import start


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    out = tmp_path_factory.mktemp("data") / "parts"
    import_dataset("synthetic-pump", out, None, None, count=16, patches=6, with_defect=30, resolution=32, seed=1)
    return out


EFFORT = Effort("tiny", repeats=2, gan_steps=1, steps=50)


@pytest.fixture
def small_networks(monkeypatch, tmp_path):
    use_small_networks(monkeypatch)
    monkeypatch.setenv("PUMPGAN_CACHE", str(tmp_path / "cache"))


def carried_out(study, tmp_path):
    store, out = Store(tmp_path / "stages"), tmp_path / "out"
    run(study.stages, store, parallel=0, device="cpu", say=lambda line: None)
    write_results(study, store, out)
    return write_pages(out, study.name), out, store


def test_a_study_of_classifiers_ends_in_tables_with_the_thesis_beside_them(parts, tmp_path, small_networks):
    study = classification(dataset("parts", parts), EFFORT, sizes=[8], added=8)
    texts, out, store = carried_out(study, tmp_path)
    found = json.loads((out / "table-3.1.json").read_text())
    arms = ["none", "weighted sampling", "flips + colour", "defect-pasted", "StyleGAN2-ADA", "StyleGAN2-ADA + pasted"]
    assert list(found["study"]["arms"]) == arms and found["thesis"]["number"] == "3.1"
    for arm in found["study"]["arms"].values():
        assert arm["scores"]["f1"]["n"] == 2
    assert list(json.loads((out / "table-A.1.json").read_text())["study"]["arms"]) == ["0", "8"]
    assert "0.3402" in texts[0] and "weighted sampling" in texts[0]
    names = {path.name for path in out.iterdir()}
    assert names >= {"README.md", "table-3.1.md", "table-3.1.csv", "table-3.1-f1.png", "table-A.1-f1.png"}
    again = tmp_path / "again"
    write_results(study, store, again)
    write_pages(again, study.name)
    assert all((again / name).read_bytes() == (out / name).read_bytes() for name in names)


def test_a_study_of_segmenters_judges_on_images_as_it_learnt_from(parts, tmp_path, small_networks):
    study = segmentation(dataset("parts", parts), replace(EFFORT, repeats=1), added=4, share=0.5)
    texts, out, _ = carried_out(study, tmp_path)
    found = json.loads((out / "table-4.4.json").read_text())["study"]
    assert list(found["arms"]) == ["none", "SemanticGAN", "ours", "ours + L_d"]
    assert "4.4" in texts[0] and not (out / "table-A.2.json").exists()


def test_a_run_for_no_arm_is_refused(parts):
    with pytest.raises(ValueError, match="--gan: this study's are stylegan2-ada, stylegan2-ada-pasted; got biggan"):
        classification(dataset("parts", parts), EFFORT, gans={"biggan": dataset("parts", parts)})


def test_a_run_that_draws_another_size_is_refused_before_anything_runs(parts, tmp_path):
    config = SemganConfig(**SMALL_CONFIG | dict(resolution=16))
    common = dict(preset="tiny", device=torch.device("cpu"), quiet=True, say=lambda line: None)
    start(config, data=[parts], run=tmp_path / "run", goal=Goal(steps=1), **common)
    given = {"ours": trained_run("given", tmp_path / "run")}
    with pytest.raises(ValueError, match=r"--gan ours: draws images of 16x16.*; the data are 32x32"):
        segmentation(dataset("parts", parts), EFFORT, gans=given)


def test_gans_draw_at_the_size_of_the_data(parts):
    study = segmentation(dataset("parts", parts), EFFORT)
    gans = [stage for stage in in_order(study.stages) if stage.name.startswith("gan-")]
    assert len(gans) == 3 and all(gan.options["config"]["resolution"] == 0 for gan in gans)
