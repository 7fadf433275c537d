"""What a run warns of while it steers label shares, and the ways of counting them."""

from types import SimpleNamespace

import pytest
import torch
from plates import PLATE_CLASSES
from small_gan import CLASSES, small_gan, training_data

from pumpgan.losses.distribution import KINDS, ShareTarget, hard_shares, share_distance
from pumpgan.ops import label_stats
from pumpgan.train import checkpoint as checkpoints
from pumpgan.train.config import SemganConfig
from pumpgan.train.distribution import READY_IMAGES, RECENT, ShareControl
from pumpgan.train.learner import take_step
from pumpgan.train.samples import Sampler

LATE = 100 * READY_IMAGES  # images after which nothing is excused as early
REAL = ShareTarget.of_shares(torch.tensor([[0.7, 0.2, 0.1], [0.9, 0.1, 0.0]], dtype=torch.float64), pixels=256)


def steering(**options) -> ShareControl:
    """Over holes, begun, and drawing them exactly as the real labels do: in half of the images, a tenth of each."""
    config = SemganConfig(**{"batch": 4, "dist_loss": "hole", "dist_start": "0", **options})
    control = ShareControl(config, REAL, CLASSES, torch.device("cpu"))
    state = control.state
    state["hard"][:, 0], state["hard"][::2, 2] = 0.8, 0.1
    state["soft_mean"] = REAL.mean.float()
    state["seen"] = torch.tensor(10 * len(state["hard"]))
    state["started"] = torch.tensor(0)
    state["weights"][:2] = torch.tensor([[1.0], [90.0]])
    state["capped"][:] = 0.29
    return control


# Sentences --------------------------------------------------------------------------------------------------


def test_nothing_is_said_of_shares_that_are_met():
    assert steering().alarms(LATE) == []


def test_nothing_is_said_where_nothing_is_steered():
    control = steering(dist_loss="", dist_start="auto")
    control.state["hard"][:], control.state["started"] = 0, torch.tensor(-1)
    assert control.alarms(LATE) == []


def test_mass_that_spreads_below_the_winning_class_is_told():
    control = steering()
    control.state["hard"][:, 2] /= 4  # a quarter of the real pixels, and of the soft mass
    (alarm,) = control.alarms(LATE)
    assert alarm == "hole: soft mass 5.000 % meets the target, pixels 1.250 % do not"
    control.state["soft_mean"][2] = 0.03  # the soft mass does not meet its target either: still on its way
    assert control.alarms(LATE) == []


def test_a_steered_class_that_is_never_drawn_is_told():
    control = steering()
    control.state["hard"][:, 2] = 0
    (alarm,) = control.alarms(LATE)
    assert alarm == "hole: not one generated label has it while its loss is on"


def test_statistics_over_too_few_occurrences_are_told():
    (alarm,) = steering(dist_memory=24).alarms(LATE)  # and a batch of 4, holes in half of them
    assert alarm == "hole: its statistics rest on 14.0 expected occurrences; raise --dist-memory"
    assert steering(dist_memory=26).alarms(LATE) == []


def test_a_pull_that_is_often_at_its_cap_is_told():
    control = steering()
    control.state["capped"] = torch.tensor([0.31])
    assert control.alarms(LATE) == ["hole: its pull is at the cap in 31 % of the steps"]


def test_a_weight_that_moved_a_hundredfold_is_told():
    control = steering()
    control.state["weights"][5] = 101.0
    assert control.alarms(LATE) == ["hole: the weight of its pull has moved a hundredfold within 3 steps"]


def test_a_weight_that_moved_long_ago_is_not():
    control = ShareControl(steering().config, REAL, CLASSES, torch.device("cpu"))
    logits = torch.randn(4, 3, 16, 16, requires_grad=True)

    def moved(size: float, steps: int) -> bool:
        for _ in range(steps):
            control.gradient(logits, torch.full_like(logits, size), step=0, images=0)
        return any("hundredfold" in alarm for alarm in control.alarms(LATE))

    assert not moved(1e4, 3)
    assert moved(1.0, RECENT - 1)  # its mean falls slowly, by more than a hundredfold
    assert not moved(1.0, RECENT)


def test_a_loss_that_never_began_is_told():
    control = steering(dist_start="auto")
    control.state["started"] = torch.tensor(-1)
    (alarm,) = control.alarms(LATE)
    assert alarm.startswith("dist-loss hole: has not begun")


def test_steps_move_the_figures_that_alarms_read():
    control = ShareControl(steering().config, REAL, CLASSES, torch.device("cpu"))
    weights = []
    for i in range(20):
        logits = torch.randn(4, 3, 16, 16, requires_grad=True)
        adversarial = torch.randn(4, 3, 16, 16) * (1, 1e4, 1e-4)[i // 7]
        _, scalars = control.gradient(logits, adversarial, step=i, images=4 * i)
        weights.append(float(scalars["dist/hole/weight"]))
    state = control.state
    kept = state["weights"][:20, 0].tolist()
    assert kept[-1] == weights[0] and kept[0] >= weights[-1] and not state["weights"][20:].any()
    assert int(state["seen"]) == 80 and 0 <= float(state["capped"]) <= 1


def test_a_pull_ten_times_its_mean_counts_as_capped():
    control = steering()
    control.state["capped"] = torch.zeros(1)
    logits = torch.randn(4, 3, 16, 16, requires_grad=True)
    for expected in (0.0, 0.02):
        control.gradient(logits, torch.ones_like(logits), step=0, images=0)
        assert float(control.state["capped"]) == pytest.approx(expected)
        control.state["loss_norm"] /= 10


@pytest.mark.parametrize("size", [1e-3, 1.0, 1e3])
def test_a_class_without_any_gradient_yet_pulls_by_nothing(size):
    # So far below the others that its softmax is 0 in float32, and its gradient too.
    control = steering(dist_memory=0)
    logits = torch.zeros(4, 3, 16, 16)
    logits[:, 2] = -100
    logits.requires_grad_(True)
    pull, scalars = control.gradient(logits, torch.full_like(logits, size), step=0, images=0)
    assert torch.isfinite(pull).all() and not pull.any() and scalars["dist/hole/weight"] == 0
    assert not any("hundredfold" in alarm for alarm in control.alarms(LATE))


# Counting ---------------------------------------------------------------------------------------------------


def test_straight_through_counts_pixels_forward_and_softly_backward():
    logits = torch.randn(4, 3, 16, 16, requires_grad=True)
    adversarial = torch.ones_like(logits)
    control = steering(dist_counts="straight-through", dist_lambda=1.0, dist_memory=0)
    pull, scalars = control.gradient(logits, adversarial, step=0, images=0)
    hard = hard_shares(logits.argmax(dim=1), 3).float()
    torch.testing.assert_close(scalars["dist/loss"], share_distance("gaussian", hard[:, [2]], REAL.only([2]))[0])
    # Backward: the loss's gradient at the counted shares, through the soft ones.
    counted = hard.clone().requires_grad_(True)
    (at_shares,) = torch.autograd.grad(share_distance("gaussian", counted[:, [2]], REAL.only([2])), counted)
    soft, _ = label_stats(logits, temperature=0.1)
    (expected,) = torch.autograd.grad(soft, logits, at_shares)
    assert expected.any()
    torch.testing.assert_close(pull, expected)


def test_straight_through_remembers_what_it_counted():
    control = steering(dist_counts="straight-through", dist_memory=8)
    logits = torch.randn(4, 3, 16, 16, requires_grad=True)
    control.gradient(logits, torch.ones_like(logits), step=0, images=0)
    torch.testing.assert_close(control.state["soft"][:4], hard_shares(logits.argmax(dim=1), 3).float())


def test_soft_counts_are_the_default():
    logits = torch.randn(4, 3, 16, 16, requires_grad=True)
    control = steering(dist_memory=0)
    _, scalars = control.gradient(logits, torch.ones_like(logits), step=0, images=0)
    soft, _ = label_stats(logits.detach(), temperature=0.1)
    torch.testing.assert_close(scalars["dist/loss"], share_distance("gaussian", soft[:, [2]], REAL.only([2]))[0])


@pytest.mark.parametrize("memory", [0, 10])
@pytest.mark.parametrize("kind", KINDS)
def test_a_run_of_any_kind_is_stored_and_goes_on_alike(kind, memory, tmp_path):
    options = dict(dist_loss="hole", dist_start="0", dist_kind=kind, dist_memory=memory)
    gan, step = small_gan(**options)
    other, _ = small_gan(**options)
    for _ in range(2):
        step._fakes = None
        assert "dist/loss" in take_step(gan, step)
    state = {"step": gan.step, "images": gan.images, "seconds": 0.0, "threads": 1}
    checkpoints.save_checkpoint(tmp_path, *gan.tensors(), state, snapshot=False)
    stored = checkpoints.latest(tmp_path)
    other.load_tensors(*(stored.tensors(name) for name in checkpoints.FILES), stored.step)
    assert other.control.state["soft"].shape == (memory, 3)
    for run in (gan, other):
        torch.manual_seed(5)
        step._fakes = None
        take_step(run, step)
    for mine, theirs in zip(gan.tensors(), other.tensors(), strict=True):
        assert mine.keys() == theirs.keys() and all(torch.equal(mine[k], theirs[k]) for k in mine)


# The averaged generator against the raw one -----------------------------------------------------------------


def disagreements(raw: float, averaged: float) -> list[str]:
    """What is said where the two draw holes in these parts of their labels."""
    labels = torch.zeros(20, 16, 16, dtype=torch.uint8)
    labels[: round(20 * averaged), 0, 0] = 2
    drawn = {"ground": (1.0, 1.0), "plate": (0.0, 0.0), "hole": (raw, 0.01)}
    gan = SimpleNamespace(control=SimpleNamespace(drawn=lambda: drawn))
    sampler = Sampler(
        None, None, training_data(torch.zeros(1, 3, 16, 16, dtype=torch.uint8), labels[:1], PLATE_CLASSES)
    )
    return sampler._disagreements(gan, labels)


def test_an_averaged_generator_that_draws_another_number_of_a_class_is_told():
    assert disagreements(raw=0.5, averaged=0.2) == [
        "hole: in 20 % of the averaged generator's labels, 50 % of the raw one's"
    ]
    assert disagreements(raw=0.1, averaged=0.5) == [
        "hole: in 50 % of the averaged generator's labels, 10 % of the raw one's"
    ]


@pytest.mark.parametrize("raw, averaged", [(0.5, 0.3), (0.3, 0.5), (0.04, 0.0), (0.0, 0.05), (0.0, 0.0)])
def test_a_small_or_rare_difference_between_them_is_not(raw, averaged):
    assert disagreements(raw, averaged) == []
