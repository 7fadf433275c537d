"""The quality filter: scores that belong to the sample alone, thresholds, and what is said where one cannot judge."""

import itertools
import shutil

import numpy as np
import pytest
import torch
from miniatures import dataset as miniature
from parts import use_small_networks, write_parts
from plates import draw_plate, write_plates
from small_gan import SMALL_CONFIG

from pumpgan.data.dataset import PART_CLASSES, PART_IMAGE_LABELS, Dataset, Entry, LabelClass
from pumpgan.data.packed import pack
from pumpgan.data.writer import DatasetWriter
from pumpgan.inference import filters
from pumpgan.inference.filters import Agreement, Novelty, Presence, Realism, criteria_for, overlap, verdicts
from pumpgan.inference.predictor import Predictor
from pumpgan.inference.samples import BATCH, Sample, TrainedGenerator
from pumpgan.inference.wanted import Wanted
from pumpgan.metrics.segmentation import SegmentationScores
from pumpgan.train.checkpoint import keep_snapshot, latest
from pumpgan.train.config import SemganConfig, Stylegan2AdaConfig
from pumpgan.train.downstream_config import ClassifierConfig, SegmenterConfig
from pumpgan.train.loop import Goal
from pumpgan.train.run import start

CPU = torch.device("cpu")


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PUMPGAN_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setattr(filters, "REFERENCE", 256)
        yield


def train(config, data, folder, steps: int):
    start(config, preset="tiny", data=[data], run=folder, goal=Goal(steps), device=CPU, quiet=True, say=lambda text: 0)
    return folder


@pytest.fixture(scope="module")
def run(plates, tmp_path_factory):
    return train(SemganConfig(**SMALL_CONFIG), plates, tmp_path_factory.mktemp("runs") / "run", 6)


@pytest.fixture(scope="module")
def conditional_run(tmp_path_factory):
    """Draws images alone, good or defect."""
    folder = tmp_path_factory.mktemp("conditional")
    rng, of_parts = np.random.default_rng(0), dict(classes=PART_CLASSES, image_labels=PART_IMAGE_LABELS)
    with DatasetWriter(folder / "data", name="x", **of_parts, size=(16, 16), channels=3, flips="h") as writer:
        for k in range(16):
            image, _ = draw_plate(rng)
            writer.add(Entry(f"{k}", "train", photographs=(f"{k}",), image_label=PART_IMAGE_LABELS[k % 2]), image)
    sizes = {name: value for name, value in SMALL_CONFIG.items() if name != "patch_base"}
    config = Stylegan2AdaConfig(**sizes, augment="none", conditional=True)
    return train(config, folder / "data", folder / "run", 2)


def first(trained, **options) -> Sample:
    return next(trained.samples(0, **options))


# Realism -----------------------------------------------------------------------------------------------------


def test_realism_does_not_depend_on_the_company(run):
    trained = TrainedGenerator(run)
    realism, sample = Realism(trained, 0.5), first(trained)
    margins = [scores["margin"] for scores in realism(sample)]
    order = np.random.default_rng(0).permutation(BATCH)
    mixed = Sample(sample.images[order], sample.labels[order], [sample.numbers[k] for k in order])
    assert [scores["margin"] for scores in realism(mixed)] == pytest.approx([margins[k] for k in order], abs=1e-5)
    alone = Sample(sample.images[7:8], sample.labels[7:8], [7])
    assert realism(alone)[0]["margin"] == pytest.approx(margins[7], abs=1e-5)
    judged = realism.discriminator(sample.pixels / 127.5 - 1)
    assert not torch.allclose(judged[7:8], realism.discriminator(sample.pixels[7:8] / 127.5 - 1)), "as it would have"


def test_in_usual_company_a_logit_is_what_the_discriminator_says(run):
    trained = TrainedGenerator(run)
    realism, pixels = Realism(trained, 0.5), first(trained).pixels / 127.5 - 1
    features = realism.discriminator.features(pixels)
    realism.deviation = realism.discriminator.deviation(features)[:4, -1].mean()  # of the first group of four
    expected = realism.discriminator(pixels)[:4].double()
    torch.testing.assert_close(realism._logits(features, [None] * BATCH)[:4], expected)


def test_about_the_share_that_is_asked_for_is_kept(run):
    trained = TrainedGenerator(run)
    batches = list(itertools.islice(trained.samples(5), 16))
    for share in (0.25, 0.75, 1.0):
        realism = Realism(trained, share)
        kept = np.mean([realism.keeps(scores) for sample in batches for scores in realism(sample)])
        assert kept == 1 if share == 1 else abs(kept - share) < 4 * np.sqrt(share * (1 - share) * (1 / 256 + 1 / 512))


def test_the_most_real_are_kept(run):
    trained = TrainedGenerator(run)
    realism = Realism(trained, 0.5)
    judged = [(scores["margin"], realism.keeps(scores)) for scores in realism(first(trained))]
    assert min(margin for margin, kept in judged if kept) > max(margin for margin, kept in judged if not kept)


def test_the_threshold_is_that_of_the_run_whatever_is_drawn(run):
    trained = TrainedGenerator(run)
    assert Realism(trained, 0.5).settings() == Realism(trained, 0.5).settings()
    assert Realism(trained, 0.5).thresholds != Realism(trained, 0.5, truncation=0.3).thresholds
    reference = next(trained.samples(0, purpose="reference"))
    assert not np.array_equal(reference.images, first(trained).images)


def test_each_condition_has_a_threshold_and_keeps_its_share(conditional_run):
    trained = TrainedGenerator(conditional_run)
    realism = Realism(trained, 0.5)
    assert set(realism.settings()["realism"]["threshold"]) == {"good", "defect"}
    batches = list(itertools.islice(trained.samples(1), 16))
    judged = [pair for sample in batches for pair in zip(sample.conditions, realism(sample), strict=True)]
    for condition in (0, 1):
        kept = [realism.keeps(scores) for under, scores in judged if under == condition]
        assert abs(np.mean(kept) - 0.5) < 4 * 0.5 * np.sqrt(1 / 256 + 1 / len(kept))
    assert set(Realism(trained, 0.5, condition=1).thresholds) == {1}


def test_a_step_whose_discriminator_is_gone_cannot_judge(run, tmp_path):
    whole = latest(run).tensors("model.safetensors")
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    keep_snapshot(copy, whole, 3)
    with pytest.raises(ValueError, match=r"has a discriminator at step 0 and 6 alone; of step 3 only the generator"):
        Realism(TrainedGenerator(copy, checkpoint=3), 0.5)


# Agreement ---------------------------------------------------------------------------------------------------


def overlap_of(seen, labels, classes: int) -> list[float]:
    scores = SegmentationScores([LabelClass(k, f"{k}", (k, k, k)) for k in range(classes)])
    scores.update(torch.tensor(seen), torch.tensor(labels))
    return overlap(scores.areas).tolist()


def test_overlap_is_of_the_defects_of_two_classes():
    labels = [[[0, 1], [1, 1]], [[0, 0], [0, 1]], [[0, 0], [0, 0]], [[0, 0], [0, 0]]]
    seen = [[[0, 1], [0, 0]], [[0, 1], [0, 0]], [[0, 0], [0, 0]], [[0, 0], [0, 1]]]
    assert overlap_of(seen, labels, 2) == pytest.approx([1 / 3, 0, 1, 0])


def test_overlap_of_more_classes_is_the_mean_over_those_that_either_holds():
    found = overlap_of([[[0, 0, 1, 2]], [[0, 0, 0, 3]]], [[[0, 0, 1, 1]], [[0, 0, 0, 0]]], 5)
    assert found == pytest.approx([(1 + 1 / 2 + 0) / 3, (3 / 4 + 0) / 2])


def test_what_the_segmenter_sees_otherwise_is_rejected(run):
    trained = TrainedGenerator(run)
    sample = first(trained)
    labels = torch.from_numpy(sample.labels)
    half = torch.cat([labels[:16], (labels[16:] + 1) % 3])
    agreement = Agreement(trained.classes, lambda images: half, 0.5, segmenter={})
    kept = [agreement.keeps(scores) for scores in agreement(sample)]
    assert kept == [True] * 16 + [False] * 16
    assert agreement(sample)[0] == {"agreement": 1.0}


def segmenter_of(data, folder, model: str = "segmenter"):
    config = (SegmenterConfig if model == "segmenter" else ClassifierConfig)(batch=8, rate=0.02, validate_every=2)
    return train(config, data, folder, 2)


def test_a_segmenters_run_judges_by_its_best_network(run, plates, tmp_path, monkeypatch):
    use_small_networks(monkeypatch)
    segmenter = segmenter_of(plates, tmp_path / "segmenter")
    trained, predictor = TrainedGenerator(run), Predictor(segmenter)
    (agreement,) = criteria_for(Wanted(agreement=0.4, segmenter=segmenter), trained)
    sample = first(trained)
    seen, _ = predictor.label_maps(sample.pixels)
    expected = overlap_of(seen.tolist(), sample.labels.tolist(), 3)
    assert [scores["agreement"] for scores in agreement(sample)] == pytest.approx(expected)
    about = {"least": 0.4, "segmenter": str(segmenter), "checkpoint": predictor.step}
    assert agreement.settings() == {"agreement": about}


def test_a_segmenter_of_other_images_is_refused(run, conditional_run, plates, tmp_path, monkeypatch):
    use_small_networks(monkeypatch)
    parts = write_parts(tmp_path / "parts")
    wanted = Wanted(agreement=0.4, segmenter=segmenter_of(parts, tmp_path / "parts-segmenter"))
    with pytest.raises(
        ValueError, match=r"segmenter: classes of .* must be those of .*: ground, plate, hole; got good"
    ):
        criteria_for(wanted, TrainedGenerator(run))
    with pytest.raises(ValueError, match=r"agreement: .* draws images without labels"):
        criteria_for(wanted, TrainedGenerator(conditional_run))
    wanted = Wanted(agreement=0.4, segmenter=segmenter_of(parts, tmp_path / "classifier", "classifier"))
    with pytest.raises(ValueError, match=r"segmenter: .* is a run of classifier, which sees no pixel labels"):
        criteria_for(wanted, TrainedGenerator(run))
    with pytest.raises(ValueError, match="is a run of classifier, which draws nothing"):
        TrainedGenerator(wanted.segmenter)


# Novelty -----------------------------------------------------------------------------------------------------


def test_a_training_image_and_its_mirror_image_are_nothing_new(run, plates):
    novelty = Novelty(TrainedGenerator(run), 0.5)
    packed = pack(Dataset.open(plates), "train")
    images = torch.cat([packed.images[:4], packed.images[:4].flip(3), packed.images[:4].flip(2, 3)])
    found = novelty(Sample(images.permute(0, 2, 3, 1).numpy(), None, list(range(12))))
    assert [scores["nearest"] for scores in found] == [f"plate_{k}" for k in range(4)] * 3
    assert all(scores["novelty"] < 1e-3 and not novelty.keeps(scores) for scores in found)


def test_other_real_images_are_new(run, plates):
    novelty = Novelty(TrainedGenerator(run), 0.5)
    images = pack(Dataset.open(plates), "test").images
    found = novelty(Sample(images.permute(0, 2, 3, 1).numpy(), None, list(range(len(images)))))
    assert 0.7 < np.median([scores["novelty"] for scores in found]) < 1.5


def test_training_images_that_changed_are_not_taken_for_those_of_the_run(plates, tmp_path):
    data = tmp_path / "plates"
    shutil.copytree(plates, data)
    copy = train(SemganConfig(**SMALL_CONFIG), data, tmp_path / "run", 0)
    shutil.rmtree(data)
    with pytest.raises(ValueError, match=r"cannot be read again \(.*plates: not a dataset.*--data names where"):
        Novelty(TrainedGenerator(copy), 0.5)
    write_plates(data, count=60)
    with pytest.raises(ValueError, match="no longer hold what it was trained on; --data takes sets as they are"):
        Novelty(TrainedGenerator(copy), 0.5)
    settings = Novelty(TrainedGenerator(copy), 0.5, data=[data]).settings()["novelty"]
    assert settings["images"] == 45 and settings["data"] == [str(data)]


def test_training_images_of_another_form_are_refused(run, tmp_path):
    grey = miniature(tmp_path / "grey", channels=1).path
    with pytest.raises(ValueError, match="are 16x16 with 1 channels, the run's 16x16 with 3"):
        Novelty(TrainedGenerator(run), 0.5, data=[grey])


# All of them -------------------------------------------------------------------------------------------------


def test_what_lacks_the_class_is_not_judged_further(run):
    trained = TrainedGenerator(run)
    criteria = criteria_for(Wanted(with_class="hole", min_fraction=0.1, realism=0.5, novelty=0.0), trained)
    judged = verdicts(criteria, first(trained))
    lacking = [scores for scores, failed in judged if "with_class" in failed]
    having = [scores for scores, failed in judged if "with_class" not in failed]
    assert lacking and having
    assert all(set(scores) == {"fraction"} for scores in lacking)
    assert all(set(scores) == {"fraction", "margin", "novelty", "nearest"} for scores in having)


def test_a_sample_fails_every_criterion_that_it_does_not_meet(run):
    trained = TrainedGenerator(run)
    judged = verdicts(criteria_for(Wanted(realism=0.01, novelty=1000.0), trained), first(trained))
    assert ["realism", "novelty"] in [failed for _, failed in judged]


def test_a_class_is_asked_of_labels_alone(conditional_run):
    with pytest.raises(ValueError, match=r"with_class: .* draws images without labels"):
        Presence(TrainedGenerator(conditional_run), "defect")
