"""What lies behind a run: the data of the runs that it is built on, and of the GANs that drew its images."""

from pathlib import Path

from parts import write_parts

from pumpgan.inference.lineage import learnt_from
from pumpgan.train.downstream_config import ClassifierConfig
from pumpgan.train.loop import Goal
from pumpgan.train.record import RunRecord

DEFAULTS = dict(unlabelled=(), class_table=(), size=(16, 16), channels=1, flips="hv", digest="", device="cpu")


def write_run(run: Path, *data: Path, **about) -> str:
    run.mkdir()
    paths = tuple(map(str, data))
    RunRecord("classifier", "tiny", ClassifierConfig(), paths, goal=Goal(1), **DEFAULTS | about).write(run)
    return str(run)


def test_it_is_the_data_of_all_runs_and_generators_behind_it_too(tmp_path):
    gan = write_run(tmp_path / "gan", tmp_path / "faces", unlabelled=(str(tmp_path / "more_faces"),))
    drawn = write_parts(tmp_path / "drawn", 4, generator={"run": gan, "seed": 0})
    first = write_run(tmp_path / "first", tmp_path / "tiles", drawn, networks=str(tmp_path / "gone"))
    write_run(tmp_path / "second", tmp_path / "parts", networks=first, generator={"run": gan})
    names = {path.name for path in learnt_from(tmp_path / "second")}
    assert names == {"parts", "tiles", "drawn", "faces", "more_faces"}


def test_runs_that_begin_with_each_other_come_to_an_end(tmp_path):
    write_run(tmp_path / "a", tmp_path / "x", networks=str(tmp_path / "b"))
    write_run(tmp_path / "b", tmp_path / "y", networks=str(tmp_path / "a"))
    assert learnt_from(tmp_path / "a") == [tmp_path / "x", tmp_path / "y"]
