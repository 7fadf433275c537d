"""What is said of arms is what a slow bootstrap and scipy's t-test say, and chance alone seldom looks like more."""

import json

import numpy as np
import pytest
from scipy import stats

from pumpgan.data.dataset import PART_CLASSES
from pumpgan.metrics.classification import ClassificationScores
from pumpgan.metrics.segmentation import SegmentationScores
from pumpgan.studies.counts import measure_of
from pumpgan.studies.statistics import ENOUGH_POSITIVES, bootstrap, compare_arms, units_of


def test_images(photographs: int, *, crops: int = 2, groups: int | None = None) -> list[dict]:
    """The images of a test set, every second photograph with a defect in each crop."""
    return [
        dict(name=f"{i}_{c}", photographs=[f"p{i}"], group=f"g{i % groups}" if groups else None, target=i % 2)
        for i in range(photographs)
        for c in range(crops)
    ]


test_images.__test__ = False


def classified(images: list[dict], draw: np.random.Generator, skill: float = 0.3, blur: float = 0.4) -> list[dict]:
    """A classifier's repeat: probabilities that are higher by `skill` where there is a defect."""
    chances = [0.5 + skill * (image["target"] - 0.5) + blur * draw.normal() for image in images]
    return [image | {"probability": float(np.clip(p, 0, 1))} for image, p in zip(images, chances, strict=True)]


def segmented(images: list[dict], draw: np.random.Generator, chance: float = 0.3) -> list[dict]:
    """A segmenter's repeat on maps of 4 x 4, of which it gets each pixel wrong by this chance."""
    truth = np.zeros((len(images), 4, 4), int)
    truth[[image["target"] == 1 for image in images], 1:3, 1:3] = 1
    scores = SegmentationScores(PART_CLASSES)
    scores.update(np.where(draw.random(truth.shape) < chance, 1 - truth, truth), truth)
    return [image | found for image, found in zip(images, scores.per_image(), strict=True)]


def arms_of(repeat, images, skills: dict[str, float], repeats: int = 3, seed: int = 0) -> dict[str, list[list[dict]]]:
    draw = np.random.default_rng(seed)
    return {name: [repeat(images, draw, skill) for _ in range(repeats)] for name, skill in skills.items()}


@pytest.mark.parametrize("groups", [None, 7])
def test_draws_are_those_of_a_plain_bootstrap_over_photographs_or_groups(groups):
    arms = arms_of(classified, test_images(20, groups=groups), {"none": 0.2, "ours": 0.5}, repeats=2)
    measure, (owners, units) = measure_of(arms["none"][0]), units_of(arms["none"][0])
    assert units == (groups or 20)
    counts = {name: sum(measure.counts(images) for images in repeats) for name, repeats in arms.items()}
    drawn = bootstrap(measure, counts, owners, units, 12, seed=5)
    times = np.random.Generator(np.random.PCG64(5)).multinomial(units, np.full(units, 1 / units), size=12)
    assert (times.sum(axis=1) == units).all()
    for name, repeats in arms.items():
        for n in range(12):
            pooled = ClassificationScores()
            for images in repeats:
                again = [image for image, unit in zip(images, owners, strict=True) for _ in range(times[n, unit])]
                pooled.update(np.array([i["probability"] for i in again]), np.array([i["target"] for i in again]))
            expected = pooled.result()
            for score in measure.names:
                assert drawn[name][score][n] == pytest.approx(expected[score]), (name, score)


def test_the_interval_holds_the_middle_95_percent_of_the_paired_differences():
    images = test_images(40)
    arms = arms_of(segmented, images, {"none": 0.3, "ours": 0.2})
    found = compare_arms(arms, baseline="none", seed=3, draws=500)
    measure, (owners, units) = measure_of(arms["none"][0]), units_of(images)
    counts = {name: sum(measure.counts(repeat) for repeat in repeats) for name, repeats in arms.items()}
    drawn = bootstrap(measure, counts, owners, units, 500, seed=3)
    for score in found["scores"]:
        described = found["arms"]["ours"]["differences"][score]
        differences = drawn["ours"][score] - drawn["none"][score]
        assert described["interval"] == pytest.approx(np.percentile(differences, [2.5, 97.5]))
        assert described["undefined_draws"] == 0
        pooled = [measure.scores(counts[name].sum(axis=0))[score] for name in arms]
        assert described["pooled"] == pytest.approx(pooled[1] - pooled[0])
    assert found["arms"]["ours"]["differences"]["iou.defect"]["significant"]
    assert found["arms"]["ours"]["differences"]["images.iou_where_defects"]["significant"]


def test_scores_over_repeats_and_their_t_test_are_scipys():
    arms = arms_of(classified, test_images(50), {"none": 0.2, "ours": 0.4}, repeats=4)
    found = compare_arms(arms, baseline="none", seed=0, draws=10)
    values = {name: [] for name in arms}
    for name, repeats in arms.items():
        for images in repeats:
            scores = ClassificationScores()
            scores.update(np.array([i["probability"] for i in images]), np.array([i["target"] for i in images]))
            values[name].append(scores.result()["f1"])
        described = found["arms"][name]["scores"]["f1"]
        assert described["values"] == pytest.approx(values[name]) and described["n"] == 4
        assert described["mean"] == pytest.approx(np.mean(values[name]))
        assert described["std"] == pytest.approx(np.std(values[name], ddof=1))
    expected, t = stats.ttest_rel(values["ours"], values["none"]), found["arms"]["ours"]["differences"]["f1"]["repeats"]
    assert (t["t"], t["p"], t["df"]) == (pytest.approx(expected.statistic), pytest.approx(expected.pvalue), 3)
    assert t["mean"] == pytest.approx(np.mean(values["ours"]) - np.mean(values["none"]))


def test_pooled_f1_is_of_counts_summed_over_repeats():
    images = test_images(2, crops=1)  # one good, one with a defect
    repeats = [[images[0] | {"probability": p}, images[1] | {"probability": q}] for p, q in ((0.9, 0.9), (0.1, 0.1))]
    scores = compare_arms({"none": repeats}, baseline="none", seed=0, draws=1)["arms"]["none"]["scores"]
    assert scores["f1"]["values"] == pytest.approx([2 / 3, 0]) and scores["f1"]["mean"] == pytest.approx(1 / 3)
    assert scores["f1"]["pooled"] == pytest.approx(2 / 4)  # two true over four predicted or true
    assert scores["precision"]["values"] == [0.5, 0.0]  # of nothing predicted: none, as in the metric


@pytest.mark.parametrize("repeat", [classified, segmented])
def test_arms_that_are_equal_differ_by_exactly_nothing(repeat):
    arms = arms_of(repeat, test_images(60), {"none": 0.3})
    found = compare_arms(arms | {"same": arms["none"]}, baseline="none", seed=0, draws=2000)
    for described in found["arms"]["same"]["differences"].values():
        assert described["pooled"] == 0 and described["interval"] == [0, 0] and described["significant"] is False
        assert described["repeats"] == {"mean": 0, "t": None, "df": 2, "p": None}
    assert found["arms"]["none"]["differences"] is None


def test_differences_that_are_alike_but_for_rounding_have_no_t():
    images = test_images(10, crops=1)
    arms = {name: [] for name in ("none", "ours")}
    for wrong in (0, 1, 2):  # accuracies 0.8, 0.7, 0.6 and 0.9, 0.8, 0.7
        for name, more in (("none", 2), ("ours", 1)):
            right = [n >= wrong + more for n in range(10)]
            arms[name].append(
                [i | {"probability": float(i["target"] == r)} for i, r in zip(images, right, strict=True)]
            )
    differences = compare_arms(arms, baseline="none", seed=0, draws=5)["arms"]["ours"]["differences"]
    assert differences["accuracy"]["repeats"]["mean"] == pytest.approx(0.1)
    assert differences["accuracy"]["repeats"]["t"] is None


def test_one_repeat_has_neither_deviation_nor_t():
    arms = arms_of(classified, test_images(60), {"none": 0.0, "ours": 1.0}, repeats=1)
    ours = compare_arms(arms, baseline="none", seed=0, draws=500)["arms"]["ours"]
    assert ours["scores"]["f1"]["std"] is None and ours["scores"]["f1"]["n"] == 1
    assert ours["differences"]["f1"]["repeats"] is None
    assert ours["differences"]["f1"]["significant"]


def test_without_a_true_difference_95_percent_of_the_intervals_hold_0():
    """Photographs are hard or easy for both arms alike, so images of one are no independent witnesses."""
    draw, held, tries = np.random.default_rng(1), 0, 250
    images = test_images(60)
    for n in range(tries):
        hard = {f"p{i}": draw.normal(0, 0.3) for i in range(60)}
        lean = [{name: draw.normal(0, 0.3) for name in hard} for _ in range(2)]  # an arm's own, shared by its repeats
        arms = {}
        for arm, own in zip(("none", "ours"), lean, strict=True):
            repeats = [classified(images, draw, 0.4, blur=0.2) for _ in range(2)]
            for image in (image for repeat in repeats for image in repeat):
                name = image["photographs"][0]
                image["probability"] = float(np.clip(image["probability"] + hard[name] + own[name], 0, 1))
            arms[arm] = repeats
        found = compare_arms(arms, baseline="none", seed=n, draws=300)["arms"]["ours"]["differences"]["f1"]
        held += not found["significant"]
    assert 0.91 <= held / tries <= 0.99  # three deviations of 250 tries at 0.95 are 0.041


def test_with_few_positive_photographs_nothing_is_called_significant_and_it_says_why():
    images = test_images(2 * ENOUGH_POSITIVES - 1)  # one positive short
    arms = arms_of(classified, images, {"none": 0.0, "ours": 1.0})
    found = compare_arms(arms, baseline="none", seed=0, draws=200)
    assert found["positive_photographs"]["f1"] == ENOUGH_POSITIVES - 1
    for described in found["arms"]["ours"]["differences"].values():
        assert described["significant"] is None and described["repeats"]["p"] is None
        assert described["interval"][0] > 0 and described["repeats"]["t"] > 0
    (caution,) = found["cautions"]
    assert caution.startswith("all scores: only 19 test photographs are positive") and "no difference" in caution
    enough = arms_of(classified, test_images(2 * ENOUGH_POSITIVES), {"none": 0.0, "ours": 1.0})
    found = compare_arms(enough, baseline="none", seed=0, draws=200)
    assert found["cautions"] == [] and found["arms"]["ours"]["differences"]["f1"]["significant"]
    assert found["arms"]["ours"]["differences"]["f1"]["repeats"]["p"] < 0.05


def test_intervals_from_few_groups_of_many_photographs_come_with_a_caution():
    arms = arms_of(classified, test_images(200, groups=10), {"none": 0.0, "ours": 1.0})
    found = compare_arms(arms, baseline="none", seed=0, draws=50)
    assert (found["units"], found["unit"], found["photographs"]) == (10, "groups of photographs", 200)
    assert (found["positive_units"]["f1"], found["positive_photographs"]["f1"]) == (5, 100)
    assert found["cautions"] == [
        "all scores: only 5 groups of photographs are positive; intervals that are drawn from so few are too narrow"
    ]
    assert found["arms"]["ours"]["differences"]["f1"]["significant"]


def test_draws_without_the_class_are_left_out_and_counted():
    images = test_images(6, crops=1)
    for image in images[3:]:
        image["target"] = 0  # one of six has a defect
    arms = arms_of(segmented, images, {"none": 0.0, "ours": 0.0})
    differences = compare_arms(arms, baseline="none", seed=0, draws=400)["arms"]["ours"]["differences"]
    assert differences["iou.defect"]["undefined_draws"] == pytest.approx(400 * (5 / 6) ** 6, abs=40)
    assert differences["iou.good"]["undefined_draws"] == 0
    assert differences["iou.defect"]["interval"] == [0, 0]


def test_the_result_is_json_and_the_seed_decides_it():
    arms = arms_of(segmented, test_images(30), {"none": 0.3, "ours": 0.25})
    written = [json.dumps(compare_arms(arms, baseline="none", seed=s, draws=100), allow_nan=False) for s in (1, 1, 2)]
    assert written[0] == written[1] != written[2]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda images: images[3].update(name="x"),
            r"ours, repeat 1, image 3 \(x\): name is x, in none, repeat 0: 1_1",
        ),
        (lambda images: images[2].update(target=0), r"image 2 \(1_0\): target is 0, in none, repeat 0: 1"),
        (lambda images: images[2].update(photographs=["p8"]), r"image 2 \(1_0\): photographs is \['p8'\]"),
        (lambda images: images.pop(), "ours, repeat 1 has 39, none, repeat 0 40"),
    ],
)
def test_other_test_images_are_refused_by_the_first_that_differs(change, message):
    arms = arms_of(classified, test_images(20), {"none": 0.2, "ours": 0.4})
    change(arms["ours"][1])
    with pytest.raises(ValueError, match=message):
        compare_arms(arms, baseline="none", seed=0, draws=5)


def test_what_cannot_be_compared_is_refused():
    arms = arms_of(classified, test_images(20), {"none": 0.2, "ours": 0.4})
    lost = [image | {"photographs": []} for image in arms["none"][0]]
    for changed, options, message in (
        (arms, {"baseline": "real"}, "baseline must be one of none, ours, got real"),
        (arms | {"ours": arms["ours"][:2]}, {}, "got 2 of ours, 3 of none"),
        ({"none": []}, {}, "at least one; got 0 of none"),
        ({"none": [lost]}, {}, "must name their photograph, 0_0 does not"),
        (arms, {"draws": 0}, "draws must be at least 1, got 0"),
        (arms_of(classified, test_images(1), {"none": 0.2}), {}, "two photographs or groups"),
    ):
        with pytest.raises(ValueError, match=message):
            compare_arms(changed, **({"baseline": "none", "seed": 0} | options))
