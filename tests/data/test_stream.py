"""The stateless stream: what a step draws, and that every image has its turn."""

from collections import Counter

import pytest
import torch

from pumpgan.data.stream import Stream


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
    ],
)
def test_a_wrong_argument_is_named(changes, message):
    images, labels = images_and_labels(4)
    with pytest.raises(ValueError, match=message):
        Stream(**{"images": images, "labels": labels, "batch": 2, **changes})
