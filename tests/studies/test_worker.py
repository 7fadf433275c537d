"""Stages in processes of their own: several at once, told to leave, left behind, failing, waited for."""

import os
import signal
import threading
import time
from pathlib import Path

import pytest
from parts import write_parts
from small_study import GAN

from pumpgan.studies.schedule import StageFailed, Study, Worker, run, visible_gpus
from pumpgan.studies.stages import Stage, dataset, paste, select, train
from pumpgan.studies.store import Store
from pumpgan.studies.worker import environment
from pumpgan.train.checkpoint import steps
from pumpgan.train.loop import Interrupted

PATIENCE = 300  # seconds


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_parts(tmp_path_factory.mktemp("data") / "parts", 16)


def endless(data: Path) -> Stage:
    return train("gan", "semgan", [dataset("parts", data)], preset="tiny", steps=10**6, **GAN | {"checkpoint_every": 0})


def await_training(place: Path) -> None:
    end, log = time.monotonic() + PATIENCE, place / "run" / "log.jsonl"
    while time.monotonic() < end and not (log.exists() and '"step": 16' in log.read_text()):
        time.sleep(0.05)


def saved(place: Path) -> bool:
    return steps(place / "run" / "checkpoints")[-1] >= 16 and "everything is saved" in (place / "log.txt").read_text()


def test_stages_run_at_once_each_in_a_process_of_its_own_until_one_fails(data, tmp_path):
    store, parts, said = Store(tmp_path), dataset("parts", data), []
    two, three = (select(name, parts, count=count) for name, count in (("two", 2), ("three", 3)))
    bad = paste("bad", two)
    with pytest.raises(StageFailed, match=r"^bad: .*dataset: was not .*; its log is .*/bad-[0-9a-f]{12}/log.txt$"):
        run([two, three, bad], store, parallel=2, threads=1, say=said.append)
    assert [line.split(" ", 1)[1] for line in said[1:3]] == ["select two begins", "select three begins"]
    assert store.done(two)["threads"] == 1 and store.done(bad) is None


def test_a_signal_makes_workers_save_and_leave(data, tmp_path):
    store, said = Store(tmp_path), []
    place = store.place(endless(data))

    def interrupt():
        await_training(place)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=interrupt).start()
    with pytest.raises(Interrupted, match="signal 15"):
        run([endless(data)], store, threads=1, say=said.append)
    assert said[-1] == "stopping gan; what is trained is saved"
    assert saved(place) and store.take(endless(data)) is not None


def test_workers_save_and_leave_when_who_started_them_is_gone(data, tmp_path):
    store, stage = Store(tmp_path), endless(data)
    lock = store.take(stage)
    worker = Worker.start(stage, Study([stage], store, 1, 1, "cpu", lambda line: None).prepared(stage), lock, None)
    os.close(lock)
    try:
        await_training(store.place(stage))
        assert store.take(stage) is None  # it is the worker that holds its stage
        worker.process.stdin.close()  # as the system does when a process ends, by whatever means
        assert worker.process.wait(PATIENCE) == 143
    finally:
        worker.process.kill()
    assert saved(store.place(stage)) and store.take(stage) is not None


def test_a_stage_that_another_process_makes_is_waited_for_by_all_that_need_it(data, tmp_path):
    store, said = Store(tmp_path), []
    few = select("few", dataset("parts", data), count=2)
    lock = store.take(few)

    def say(line):
        said.append(line)
        if "waiting" in line:
            os.close(lock)

    run([select("fewer", few, count=1)], store, parallel=0, say=say)
    assert said[1] == "few: another process is at it; waiting for that"
    assert [line for line in said if "begins" in line] == ["[1/2] select few begins", "[2/2] select fewer begins"]


def test_each_worker_gets_a_gpu_and_its_threads(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3, 5")
    assert visible_gpus() == ["3", "5"]
    assert environment(4, "5")["CUDA_VISIBLE_DEVICES"] == "5" and environment(4, None)["OMP_NUM_THREADS"] == "4"
