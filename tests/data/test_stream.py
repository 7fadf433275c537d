"""The stateless stream: what a step draws, and that every image has its turn."""

from collections import Counter

import numpy as np
import pytest
import torch

from pumpgan.data.stream import Stream, oversampling_weights


def images_and_labels(count, side=3):
    """Image i is i everywhere but for its corner, so that flips and order can be read off it."""
    images = torch.arange(count, dtype=torch.uint8)[:, None, None, None].repeat(1, 1, side, side)
    images[:, :, 0, 0] = 255
    labels = torch.zeros(count, side, side, dtype=torch.uint8)
    labels[:, 0, 0] = 1
    return images, labels


def test_images_are_scaled_to_one_and_labels_are_class_ids(device):
    images = torch.tensor([0, 255], dtype=torch.uint8).view(2, 1, 1, 1)
    batch = Stream(images, torch.tensor([3, 4], dtype=torch.uint8).view(2, 1, 1), batch=2, device=device)(0)
    assert batch.images.dtype == torch.float32 and batch.labels.dtype == torch.int64
    assert sorted(zip(batch.images.flatten().tolist(), batch.labels.flatten().tolist(), strict=True)) == [
        (-1, 3),
        (1, 4),
    ]


@pytest.mark.parametrize(("count", "batch"), [(10, 4), (3, 8), (1, 5), (7, 7)])
def test_every_image_has_its_turn_each_epoch(count, batch):
    stream = Stream(*images_and_labels(count), batch=batch)
    walked = [i for step in range(3 * count) for i in stream.indices(step).tolist()]
    for epoch in range(len(walked) // count):
        assert sorted(walked[epoch * count : (epoch + 1) * count]) == list(range(count))


def test_a_step_draws_the_same_whatever_came_before():
    images, labels = images_and_labels(20)
    walked = Stream(images, labels, batch=6, flips="hv", seed=5)
    steps = [walked(step) for step in range(9)]
    resumed = Stream(images, labels, batch=6, flips="hv", seed=5)(8)
    assert torch.equal(resumed.images, steps[8].images) and torch.equal(resumed.labels, steps[8].labels)


def test_seed_name_and_epoch_change_the_order():
    images, labels = images_and_labels(50)
    orders = [
        Stream(images, labels, batch=50, seed=seed, name=name).indices(epoch).tolist()
        for seed, name, epoch in ((0, "train", 0), (1, "train", 0), (0, "labelled", 0), (0, "train", 1))
    ]
    assert len({tuple(order) for order in orders}) == 4


@pytest.mark.parametrize(("flips", "places"), [("none", 1), ("h", 2), ("hv", 4)])
def test_images_and_labels_are_mirrored_alike_and_as_often_each_way(flips, places):
    batch = Stream(*images_and_labels(8), batch=1000, flips=flips)(0)
    corner = (batch.images[:, 0] == 1).flatten(1).int().argmax(1)
    assert torch.equal(corner, (batch.labels == 1).flatten(1).int().argmax(1))
    seen = Counter(corner.tolist())
    assert len(seen) == places
    assert all(abs(n - 1000 / places) < 5 * (1000 / places) ** 0.5 for n in seen.values())


def test_ranks_together_see_what_one_with_a_larger_batch_sees():
    images, labels = images_and_labels(11)
    alone = Stream(images, labels, batch=6, flips="hv")
    ranks = [Stream(images, labels, batch=3, flips="hv", rank=rank, ranks=2) for rank in range(2)]
    for step in range(5):
        parts = [stream(step) for stream in ranks]
        assert torch.equal(torch.cat([part.images for part in parts]), alone(step).images)
        assert torch.equal(torch.cat([part.labels for part in parts]), alone(step).labels)


def test_a_stream_without_labels_gives_none():
    assert Stream(images_and_labels(3)[0], batch=2)(0).labels is None


def test_a_set_that_stays_on_the_host_gives_the_same_batches(device):
    images, labels = images_and_labels(9)
    resident, sent = (Stream(images, labels, batch=4, flips="h", device=device) for _ in range(2))
    sent.resident, sent.images, sent.labels = False, images, labels
    assert torch.equal(resident(3).images, sent(3).images) and sent(3).images.device.type == device


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(batch=0), "batch"),
        (dict(flips="v"), "flips"),
        (dict(seed=-1), "seed"),
        (dict(rank=1), "rank"),
        (dict(images=torch.zeros(0, 1, 3, 3, dtype=torch.uint8)), "images must be uint8"),
        (dict(images=torch.zeros(4, 1, 3, 3)), "images must be uint8"),
        (dict(labels=torch.zeros(4, 3, 4, dtype=torch.uint8)), "labels must be uint8"),
        (dict(weights=torch.ones(3)), "weights must be float"),
        (dict(weights=torch.tensor([1.0, -1.0, 1.0, 1.0])), "weights must not be negative"),
        (dict(weights=torch.tensor([1.0, float("nan"), 1.0, 1.0])), "weights must not be negative"),
        (dict(weights=torch.zeros(4)), "weights must not be negative"),
    ],
)
def test_a_wrong_argument_is_named(changes, message):
    images, labels = images_and_labels(4)
    with pytest.raises(ValueError, match=message):
        Stream(**{"images": images, "labels": labels, "batch": 2, **changes})


def test_images_are_drawn_in_proportion_to_their_weights_and_never_at_none():
    weights = torch.tensor([0.0, 1.0, 5.0, 0.0, 2.0, 0.0])
    stream = Stream(*images_and_labels(6), batch=1000, weights=weights, seed=4)
    counts = np.bincount(np.concatenate([stream.indices(step) for step in range(8)]), minlength=6)
    expected = 1000 * weights.numpy()
    assert (abs(counts - expected) <= 5 * np.sqrt(expected)).all()


def test_weighted_draws_depend_on_seed_name_and_step_alone():
    images, labels = images_and_labels(30)

    def stream(seed=5, name="train"):
        return Stream(images, labels, batch=8, weights=torch.rand(30), flips="hv", seed=seed, name=name)

    torch.manual_seed(0)
    walked = stream()
    steps = [walked(step) for step in range(5)]
    torch.manual_seed(0)
    resumed = stream()(4)
    assert torch.equal(resumed.images, steps[4].images) and torch.equal(resumed.labels, steps[4].labels)
    assert (
        len({tuple(s.indices(n).tolist()) for s, n in ((walked, 0), (walked, 1), (stream(6), 0), (stream(5, "b"), 0))})
        == 4
    )


def test_ranks_share_weighted_draws_out_as_they_do_an_epoch():
    images, labels = images_and_labels(11)
    weights = torch.arange(11.0)
    alone = Stream(images, labels, batch=6, weights=weights, flips="h")
    ranks = [Stream(images, labels, batch=2, weights=weights, flips="h", rank=rank, ranks=3) for rank in range(3)]
    for step in range(4):
        assert torch.equal(torch.cat([stream(step).images for stream in ranks]), alone(step).images)


def test_the_last_image_with_a_weight_is_the_last_that_can_be_drawn(monkeypatch):
    stream = Stream(*images_and_labels(3), batch=4, weights=torch.tensor([0.1, 0.2, 0.0]))
    monkeypatch.setattr(stream, "_draw", lambda *_: np.full((4, 1), np.nextafter(1, 0)))
    assert stream.indices(0).tolist() == [1] * 4


def test_extra_defects_are_drawn_as_if_they_stood_in_the_set():
    targets = torch.tensor([0, 1, 0, 0, 1, 0, 0, 0])
    weights = oversampling_weights(targets, 4)
    assert weights.sum() == pytest.approx(1) and weights[targets == 1].sum() == pytest.approx((2 + 4) / (8 + 4))
    assert weights[1] == weights[4] and weights[0] == weights[7]
    assert torch.equal(oversampling_weights(targets, 0), torch.full((8,), 1 / 8, dtype=torch.float64))
    thesis = torch.zeros(25_498, dtype=torch.int64)  # four fifths of its patches
    thesis[:1286] = 1
    assert oversampling_weights(thesis, 2000)[:1286].sum() == pytest.approx(0.1195, abs=1e-4)


@pytest.mark.parametrize(
    ("targets", "extra", "message"),
    [
        ([0, -1, 1], 1, "targets must be"),
        ([], 1, "targets must be"),
        ([0, 1], -1, "wants extra of at least 0"),
        ([0, 0], 1, "got 1 and 0 defects"),
    ],
)
def test_oversampling_names_what_it_cannot_do(targets, extra, message):
    with pytest.raises(ValueError, match=message):
        oversampling_weights(torch.tensor(targets), extra)
