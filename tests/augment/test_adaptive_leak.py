"""Whether what is drawn can be read off what is seen augmented: Karras et al. 2020, arXiv:2006.06676, appendix C.

An augmentation mixes distributions linearly. It does not leak while the mixing can be undone, while its operator has no
singular value 0: then nothing but the true distribution looks, augmented, as the truth augmented does.
"""

import pytest
import torch
from torch import Tensor

from pumpgan.augment.adaptive import apply, draw

SIDE = 4  # pixels; an eighth of it rounds to no shift, so that `blit` is the group of mirrors and quarter turns alone
LOPSIDED = torch.tensor([[1.0, 1, 1, -1], [1, -1, -1, -1], [1, -1, -1, -1], [1, -1, -1, -1]])
ANOTHER = torch.tensor([[1.0, 1, -1, -1], [-1, 1, -1, -1], [-1, 1, 1, 1], [-1, -1, -1, -1]])
ORIENTATIONS = torch.stack([side.rot90(k) for side in (LOPSIDED, LOPSIDED.flip(1)) for k in range(4)])  # [8, 4, 4]


def augmented(pipe: str, p: float, pictures: Tensor, n: int = 8000) -> Tensor:
    """[n, K, 16] of pictures [K, 4, 4]: all K changed by the same n draws."""
    k = len(pictures)
    transforms = draw(pipe, n, (SIDE, SIDE), 1, torch.tensor(p), device="cpu")
    if pipe in ("blit", "geom", "cutout"):  # as labels all K go through one warp
        _, seen = apply(transforms, torch.zeros(n, 1, SIDE, SIDE), pictures.expand(n, k, SIDE, SIDE))
    else:
        seen = torch.cat([apply(transforms, picture.expand(n, 1, SIDE, SIDE)) for picture in pictures], dim=1)
    return seen.flatten(2)


def mixing(p: float) -> Tensor:
    """[8, 8] of `blit`: how often orientation j is seen where i was shown."""
    seen = (augmented("blit", p, ORIENTATIONS) @ ORIENTATIONS.flatten(1).T).argmax(dim=2)
    return torch.nn.functional.one_hot(seen, 8).float().mean(dim=0)


def turned_into(change) -> Tensor:
    """[8, 8], 1 where `change` makes orientation j of i."""
    flat = ORIENTATIONS.flatten(1)
    return torch.stack([(flat == change(picture).flatten()).all(dim=1).float() for picture in ORIENTATIONS])


def test_mirrors_and_turns_mix_as_their_group_does():
    p, eye = 0.8, torch.eye(8)
    mirror, turns = turned_into(lambda i: i.flip(1)), sum(turned_into(lambda i, k=k: i.rot90(k)) for k in range(4))
    expected = ((1 - p / 2) * eye + p / 2 * mirror) @ ((1 - p) * eye + p / 4 * turns)
    torch.testing.assert_close(mixing(p), expected, atol=0.02, rtol=0)


def test_the_mixing_of_orientations_can_be_undone_below_probability_1_and_not_at_it():
    values = {p: torch.linalg.svdvals(mixing(p)) for p in (0.4, 0.8, 1.0)}
    # Mirrors leave 1 - p of what tells two orientations apart, turns another 1 - p.
    assert values[0.4][-1] == pytest.approx(0.36, abs=0.04) and values[0.8][-1] == pytest.approx(0.04, abs=0.02)
    assert values[1.0][1] < 0.03  # of the eight dimensions one is left: that there was a picture


@pytest.mark.parametrize(
    "kind, least, at_most",
    [
        ("blit", 0.03, 0.02),
        ("geom", 0.1, 0.03),
        ("color", 0.15, 0.03),  # at 1 half of the lumas are flipped
        ("filter", 0.8, None),  # the rest leak at no probability: their mean hides nothing
        ("noise", 0.9, None),
        ("cutout", 0.75, None),
    ],
)
def test_mean_pictures_tell_the_orientations_apart_at_the_limit_of_p(kind, least, at_most):
    """How much of each direction in which the mean pictures of the eight orientations differ is left."""

    def spread(p):
        means = augmented(kind, p, ORIENTATIONS).double().mean(dim=0)
        return torch.linalg.svdvals(means - means.mean(dim=0))

    plain = spread(0.0)
    directions = plain > 1e-3
    assert directions.sum() == 4  # a picture's corners, say
    assert (spread(0.8) / plain)[directions].min() > least
    if at_most is not None:
        assert (spread(1.0) / plain)[directions].max() < at_most


def statistics(seen: Tensor) -> Tensor:
    """[K, 272]: mean pixels, and mean products of every two."""
    products = torch.einsum("nkx,nky->kxy", seen, seen).flatten(1) / len(seen)
    return torch.cat([seen.mean(dim=0), products], dim=1)


@pytest.mark.parametrize("p, learnt", [(0.8, True), (1.0, False)])
def test_a_generator_told_of_augmented_pictures_alone_learns_the_plain_ones(p, learnt):
    """The generator is eight weights, of two pictures four ways up. At p = 1 it learns which picture, not the way."""
    truth = torch.tensor([0.40, 0.05, 0.02, 0.13, 0.05, 0.20, 0.10, 0.05])
    pictures = torch.stack([picture.rot90(k) for picture in (LOPSIDED, ANOTHER) for k in range(4)])
    real = truth @ statistics(augmented("blit", p, pictures))
    drawn = statistics(augmented("blit", p, pictures))  # by draws of its own
    logits = torch.zeros(8, requires_grad=True)
    optimizer = torch.optim.Adam([logits], lr=0.05)
    for _ in range(600):
        loss = (logits.softmax(dim=0) @ drawn - real).square().sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    weights = logits.detach().softmax(dim=0)
    torch.testing.assert_close(weights[:4].sum(), truth[:4].sum(), atol=0.05, rtol=0)
    astray = (weights - truth).abs().sum() / 2  # distance in total variation; of the start 0.35
    assert astray < 0.08 if learnt else astray > 0.2
