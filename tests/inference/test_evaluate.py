"""Evaluating a run: its images beside its labels, under honest names, with the recipe in every result."""

import json

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from plates import draw_plate
from small_gan import SMALL_CONFIG

from pumpgan.cli.evaluate import evaluate as command
from pumpgan.data.dataset import PART_CLASSES, Entry
from pumpgan.data.writer import DatasetWriter
from pumpgan.inference.evaluate import default_count, evaluate
from pumpgan.inference.samples import TrainedGenerator
from pumpgan.metrics import images
from pumpgan.metrics.extractors import load_extractor
from pumpgan.train.config import SemganConfig, Stylegan2AdaConfig
from pumpgan.train.loop import Goal
from pumpgan.train.quality import Best
from pumpgan.train.run import start

CPU = torch.device("cpu")


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PUMPGAN_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def trained(config, data, folder, steps: int):
    start(config, preset="tiny", data=[data], run=folder, goal=Goal(steps), device=CPU, quiet=True, say=lambda text: 0)
    return folder


@pytest.fixture(scope="module")
def run(plates, tmp_path_factory):
    config = SemganConfig(**SMALL_CONFIG | dict(metric_count=8))
    return trained(config, plates, tmp_path_factory.mktemp("runs") / "run", 6)


@pytest.fixture(scope="module")
def run_without_labels(plates, tmp_path_factory):
    sizes = {name: value for name, value in SMALL_CONFIG.items() if name != "patch_base"}
    config = Stylegan2AdaConfig(**sizes, augment="none")
    return trained(config, plates, tmp_path_factory.mktemp("runs") / "ada", 2)


def dataset(folder, side: int = 16, channels: int = 3):
    image, _ = draw_plate(np.random.default_rng(0), side)
    options = dict(name="x", classes=PART_CLASSES, size=(side, side), channels=channels, flips="h")
    with DatasetWriter(folder, **options) as writer:
        for name in "abcd":
            writer.add(Entry(name, "train"), image if channels == 3 else image[..., 0], None)
    return folder


def test_images_and_labels_are_compared_in_one_pass(run, plates):
    told = []
    result = evaluate(run, plates, advance=lambda *what: told.append(what))
    assert result["kind"] == "all" and result["generated_images"] == 48  # as many as real ones
    found = result["image_metrics"]
    assert found["images"] == {"real": 48, "generated": 48}
    assert found["feature_distance"] > 0 and "fid" not in found
    assert found["recipe"]["name"] == "stand-in" and found["recipe"]["N"] == 48
    assert set(result["classes"]) == {"ground", "plate", "hole"}
    kept = json.loads((run / "evaluations.jsonl").read_text().splitlines()[-1])
    assert kept == json.loads(json.dumps(result))
    assert sum(n for what, n, total in told if what == "generated images") == 48
    alone = evaluate(run, plates, metric="images", count=48)
    assert alone["image_metrics"] == found and "classes" not in alone


def test_a_run_without_labels_has_only_images_to_compare(run_without_labels, plates, tmp_path):
    result = evaluate(run_without_labels, plates, count=10)
    assert result["image_metrics"]["images"] == {"real": 48, "generated": 10} and "classes" not in result
    assert result["real_images"] == 48
    other = evaluate(run_without_labels, dataset(tmp_path / "d"), count=10)  # its classes play no part
    assert other["image_metrics"]["images"]["real"] == 4
    with pytest.raises(ValueError, match="draws images without labels; there are none to compare"):
        evaluate(run_without_labels, plates, metric="labels")


def test_a_dataset_that_does_not_fit_is_refused(run, run_without_labels, tmp_path):
    with pytest.raises(ValueError, match=r"its images have 1 channels, the run's 3"):
        evaluate(run_without_labels, dataset(tmp_path / "grey", channels=1))
    with pytest.raises(ValueError, match="--metric: must be one of all, images, labels, got 'fid'"):
        evaluate(run, tmp_path, metric="fid")


def test_labels_are_not_looked_for_where_only_images_are_wanted(run, plates, tmp_path):
    from pumpgan.data.dataset import Dataset

    source = Dataset.open(plates)
    options = dict(name="x", classes=source.classes, size=(16, 16), channels=3, flips="h")
    with DatasetWriter(tmp_path / "d", **options) as writer:
        for entry in source.split("test"):
            writer.add(Entry(entry.name, "train"), source.image(entry), None)
    with pytest.raises(ValueError, match=r"no image of split train has labels.*--metric images needs none"):
        evaluate(run, tmp_path / "d")
    assert evaluate(run, tmp_path / "d", metric="images")["image_metrics"]["images"]["real"] == 16


def test_more_images_are_drawn_on_a_gpu():
    gpu, stand_in = torch.device("cuda"), load_extractor(None)
    assert [default_count(CPU, extractor, 70) for extractor in (stand_in, None)] == [70, 70]
    assert [default_count(gpu, extractor, 70) for extractor in (stand_in, None)] == [10_000, 10_000]
    stand_in.recipe = stand_in.recipe.__class__(**{**stand_in.recipe.record(), "name": "sg2"})
    assert default_count(gpu, stand_in, 70) == 50_000


class ScriptLike(torch.nn.Module):
    """Answers as NVIDIA's TorchScript does."""

    def forward(self, x: torch.Tensor, return_features: bool = False) -> torch.Tensor:
        return x.float().mean(dim=(2, 3)).repeat(1, 683)[:, :2048] / 100


def shown(*words) -> str:
    """What `pumpgan evaluate` prints; in this process, since starting one takes longer."""
    result = CliRunner().invoke(command, [*map(str, words), "--device", "cpu"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.mark.filterwarnings("ignore:.*torch.jit.*:FutureWarning")
def test_the_screen_names_what_it_shows(run, plates, tmp_path, monkeypatch):
    plain = shown("--run", run, "--data", plates, "--count", 8)
    assert "feature distance (stand-in, not FID; N = 8)" in plain and "plate" in plain and "FID (" not in plain
    torch.jit.script(ScriptLike()).save(str(tmp_path / "inception.pt"))
    monkeypatch.setattr(images, "frechet_distance", lambda *sides, eps: 7.5)  # of 2048 features, it takes seconds
    asked = ("--run", run, "--data", plates, "--count", 8, "--metric", "images", "--checkpoint", "best")
    named = shown(*asked, "--inception", tmp_path / "inception.pt")
    assert "FID (sg2, N = 8)" in named and "7.5000" in named and "stand-in" not in named
    found = json.loads(shown(*asked, "--inception", tmp_path / "inception.pt", "--json"))
    assert found["image_metrics"]["recipe"]["extractor"] == "inception.pt" and found["image_metrics"]["fid"] == 7.5
    assert found["checkpoint"] == Best.read(run).step


def test_the_best_checkpoint_can_be_asked_for(run, plates):
    Best.read(run).__class__(**{**Best.read(run).__dict__, "step": 0}).write(run)  # the first weights, say
    assert TrainedGenerator(run, checkpoint="best").step == 0
    assert evaluate(run, plates, count=4, checkpoint="best", metric="images")["checkpoint"] == 0


def test_wrong_usage_is_told_before_anything_is_read(tmp_path):
    for words, said in (
        (("--checkpoint", "worst"), "'worst' is not a valid integer range"),
        (("--metric", "labels", "--inception", "x.pt"), "it has no effect with --metric labels"),
    ):
        result = CliRunner().invoke(command, ["--run", str(tmp_path), "--data", str(tmp_path), *words])
        assert result.exit_code == 2 and said in result.output, result.output
