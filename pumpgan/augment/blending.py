"""Laying a piece of one photograph over another so that its edge does not show."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, sparse
from scipy.sparse.linalg import splu

Pixels = NDArray[np.uint8]
Mask = NDArray[np.bool_]

GROWN = 3  # pixels around the mask that are copied with it: masks end where a defect's rim begins
FEATHER = 4  # pixels beyond those over which the copy fades out
MARGIN = GROWN + FEATHER + 1  # pixels around a mask that a blend may look at or change


def blend(ground: Pixels, piece: Pixels, mask: Mask, how: str) -> Pixels:
    """`ground` with what `mask` marks of `piece` laid over it.

    ground, piece: uint8 [H, W] or [H, W, 3]. mask: [H, W]. how: one of BLENDS. Nothing further than `MARGIN` from the
    mask changes. Raises ValueError where shapes differ or `how` is unknown.
    """
    if how not in BLENDS:
        raise ValueError(f"blend: must be {', '.join(BLENDS)}, got {how!r}")
    if ground.shape != piece.shape or ground.shape[:2] != mask.shape:
        raise ValueError(
            f"blend: ground, piece and mask must agree, got {ground.shape}, {piece.shape} and {mask.shape}"
        )
    return BLENDS[how](ground, piece, mask) if mask.any() else ground.copy()


def hard(ground: Pixels, piece: Pixels, mask: Mask) -> Pixels:
    """The masked pixels themselves, and no others."""
    return np.where(over_channels(mask, piece), piece, ground)


def feather(ground: Pixels, piece: Pixels, mask: Mask) -> Pixels:
    """The mask grown by `GROWN`, fading out over `FEATHER` pixels."""
    distance = ndimage.distance_transform_edt(~mask)
    opacity = over_channels(np.clip((GROWN + FEATHER + 1 - distance) / (FEATHER + 1), 0, 1), piece)
    return rounded(ground + opacity * (piece.astype(np.float64) - ground))


def poisson(ground: Pixels, piece: Pixels, mask: Mask) -> Pixels:
    """The piece's gradients inside the grown mask, the ground's values around it (Perez et al. 2003, eq. 4).

    What is solved for is the difference to the piece: harmonic inside, ground minus piece around, free at the edge of
    the picture.
    """
    inside = ndimage.distance_transform_edt(~mask) <= GROWN
    if inside.all():
        return piece.copy()  # nothing around it to agree with
    step = (ground.astype(np.float64) - piece).reshape(*mask.shape, -1)
    number = np.cumsum(inside).reshape(inside.shape) - 1  # of an unknown, where inside
    unknowns = int(inside.sum())
    neighbours, known = np.zeros(unknowns), np.zeros((unknowns, step.shape[2]))
    rows, columns = [], []
    for here, there in (
        (np.s_[1:, :], np.s_[:-1, :]),
        (np.s_[:-1, :], np.s_[1:, :]),
        (np.s_[:, 1:], np.s_[:, :-1]),
        (np.s_[:, :-1], np.s_[:, 1:]),
    ):
        neighbours[number[here][inside[here]]] += 1
        both = inside[here] & inside[there]
        rows.append(number[here][both])
        columns.append(number[there][both])
        edge = inside[here] & ~inside[there]
        known[number[here][edge]] += step[there][edge]
    at = np.concatenate(rows), np.concatenate(columns)
    links = sparse.coo_array((np.ones(len(at[0])), at), (unknowns, unknowns))
    change = splu((sparse.diags_array(neighbours) - links).tocsc()).solve(known)
    result = piece.astype(np.float64).reshape(step.shape)
    result[inside] += change
    result = result.reshape(piece.shape)
    return np.where(over_channels(inside, piece), rounded(result), ground)


BLENDS: dict[str, Callable[[Pixels, Pixels, Mask], Pixels]] = {"feather": feather, "poisson": poisson, "hard": hard}


def over_channels(values: NDArray, pixels: Pixels) -> NDArray:
    """[H, W] made to broadcast against `pixels`."""
    return values if pixels.ndim == 2 else values[..., None]


def rounded(values: NDArray[np.float64]) -> Pixels:
    return np.clip(np.round(values), 0, 255).astype(np.uint8)
