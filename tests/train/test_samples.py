"""What a run says about its labels at every sheet, steered or not."""

import json
from pathlib import Path

import pytest
import torch
from small_gan import training_data
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from pumpgan.data.dataset import LabelClass
from pumpgan.losses.distribution import ShareTarget
from pumpgan.models.generator import Drawn
from pumpgan.train import samples
from pumpgan.train.config import SemganConfig
from pumpgan.train.distribution import PATIENCE, ShareControl
from pumpgan.train.journal import Journal
from pumpgan.train.samples import Sampler

PART = (LabelClass(0, "good", (0, 0, 0)), LabelClass(1, "defect", (255, 0, 0)))
LATE = PATIENCE // 4  # steps of a batch of 4


def parts(count: int, defects: int, *, corners: bool = False) -> torch.Tensor:
    """Labels of which the first `defects` have one of four pixels, in one piece or in the four corners."""
    labels = torch.zeros(count, 16, 16, dtype=torch.uint8)
    places = [(0, 0), (0, 15), (15, 0), (15, 15)] if corners else [(7, 7), (7, 8), (8, 7), (8, 8)]
    for y, x in places:
        labels[:defects, y, x] = 1
    return labels


class Run:
    """As much of a run as the sampler asks for."""

    def __init__(self, real: torch.Tensor, step: int, **options):
        self.config = SemganConfig(batch=4, **options)
        self.control = ShareControl(self.config, ShareTarget.of(real, 2), ["good", "defect"], torch.device("cpu"))
        self.step, self.images, self.device, self.averaged = step, 4 * step, torch.device("cpu"), None


@pytest.fixture
def warnings(tmp_path, monkeypatch):
    """Warnings at the sheet of a run that draws `generated` where labels are like `real`."""

    def at_sheet(real: torch.Tensor, generated: torch.Tensor, step: int = LATE, **options) -> list[str]:
        hot = torch.nn.functional.one_hot(generated.long(), 2).permute(0, 3, 1, 2).float()
        monkeypatch.setattr(samples, "draw", lambda *_: Drawn(torch.zeros(len(hot), 3, 16, 16), hot))
        gan = Run(real, step, **options)
        presence = (generated == 1).flatten(1).any(dim=1).double().mean().item()
        gan.control.drawn = lambda: {"good": (1.0, 1.0), "defect": (presence, 0.0)}  # by the raw generator: the same
        journal = Journal(tmp_path, step=0, goal=None, batch=4, seconds=0.0, quiet=True)
        images = torch.zeros(len(real), 3, 16, 16, dtype=torch.uint8)
        found = Sampler(tmp_path, journal, training_data(images, real, PART))(gan)
        journal.close()
        return found

    return at_sheet


def test_defects_that_are_never_drawn_are_told_without_any_steering(warnings):
    assert warnings(parts(200, 10), parts(256, 0)) == [
        "defect: vanished; none of 256 generated labels has it, 5.0 % of the real ones do"
    ]


def test_defects_of_every_second_part_are_missed_although_no_run_settles_without_them(warnings):
    (line,) = warnings(parts(200, 100), parts(256, 0))
    assert line.startswith("defect: vanished")
    assert warnings(parts(200, 100), parts(256, 0), step=LATE - 1) == []  # perhaps still to come


def test_defects_in_crumbs_are_told(warnings):
    (line,) = warnings(parts(200, 20), parts(256, 25, corners=True))
    assert line == "defect: crumbs; 4.0 pieces an image, real 1.0"


def test_defects_as_often_and_as_large_as_real_ones_are_not(warnings):
    assert warnings(parts(200, 20), parts(256, 25)) == []


def test_twice_as_many_defects_are_told_unless_they_were_asked_for(warnings):
    real, generated = parts(200, 20), parts(256, 56)
    (line,) = warnings(real, generated)
    assert line == "defect: too often; in 21.9 % of images, real 10.0 %"
    steered = dict(dist_loss="defect", dist_start="1000000", dist_target="mean=2,var=2")
    assert warnings(real, generated, **steered) == []


def test_figures_of_each_class_stand_in_the_log_and_in_tensorboard(warnings, tmp_path: Path):
    warnings(parts(200, 20), parts(256, 64))
    (line,) = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    expected = {"presence_percent": 25.0, "pixels_percent": 25.0 / 64, "components": 1.0, "wasserstein": 0.15 / 64}
    for key, value in expected.items():
        assert line[f"averaged/defect/{key}"] == pytest.approx(value)
    events = EventAccumulator(str(tmp_path)).Reload()
    assert events.Scalars("averaged/defect/components")[0].value == 1.0
    assert events.Scalars("averaged/good/pixels_percent")[0].step == LATE
    assert "samples" in events.Tags()["images"]


def test_a_class_that_is_not_drawn_has_no_pieces_to_log(warnings, tmp_path: Path):
    warnings(parts(200, 20), parts(256, 0))
    (line,) = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert line["averaged/defect/presence_percent"] == 0 and "averaged/defect/components" not in line


def test_the_first_sheet_says_nothing_of_labels(warnings, tmp_path: Path):
    assert warnings(parts(200, 20), parts(16, 0), step=0) == []
    assert (tmp_path / "log.jsonl").read_text() == ""
