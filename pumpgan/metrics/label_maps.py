"""Label maps as they reach a metric: class ids checked and turned into places in the list of classes."""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray


class PixelClass(Protocol):
    """What a metric needs to know of a class."""

    @property
    def id(self) -> int: ...
    @property
    def name(self) -> str: ...


class ClassIndex:
    """Knows at which place of a list of classes an id stands; `where` opens the messages of what it refuses."""

    def __init__(self, classes: Sequence[PixelClass], where: str) -> None:
        """`classes`: distinct ids of 0 to 255, at least one."""
        ids = [entry.id for entry in classes]
        if not ids or len(set(ids)) < len(ids) or min(ids) < 0 or max(ids) > 255:
            raise ValueError(f"{where}: class ids must be distinct, 0 to 255, got {ids}")
        self.where = where
        self.names = tuple(entry.name for entry in classes)
        self._places = np.full(256, -1, np.int16)
        self._places[ids] = np.arange(len(ids))

    def places(self, labels: torch.Tensor | NDArray[Any]) -> NDArray[np.int16]:
        """Class ids [N, H, W], integer tensor (any device) or array -> places in the list of classes, int16 [N, H, W].

        Raises:
            ValueError: another shape or type, empty maps, an id of no class.
        """
        maps = labels.detach().cpu().numpy() if isinstance(labels, torch.Tensor) else np.asarray(labels)
        if maps.ndim != 3 or maps.dtype.kind not in "ui" or 0 in maps.shape[1:]:
            raise ValueError(f"{self.where}: labels must be integers [N, H, W], got {maps.dtype} {list(maps.shape)}")
        if maps.size and (maps.min() < 0 or maps.max() > 255 or (self._places[maps] < 0).any()):
            known = {int(at) for at in np.flatnonzero(self._places >= 0)}
            strangers = sorted(set(np.unique(maps).tolist()) - known)
            raise ValueError(f"{self.where}: ids must be of the classes {sorted(known)}, got also {strangers[:5]}")
        return self._places[maps]
