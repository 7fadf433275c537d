"""Statistics of image features, gathered a batch at a time: mean and covariance of all, and a fair sample of them."""

import hashlib
import json
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from pumpgan.metrics.extractors import Recipe

KEPT = 10_000  # features that are kept for the metrics that need single ones
TENSORS = ("mean", "scatter", "kept", "keys")


class FeatureStatistics:
    """Mean and covariance in float64 of any number of features, whatever the batches they come in.

    Of the features themselves at most `keep` stay: each gets a random key drawn from `seed`, and those with the
    smallest keys are a sample without regard to their order (datasets are sorted, by kind or by photograph).
    """

    def __init__(self, recipe: Recipe, *, keep: int = KEPT, seed: int = 0):
        if keep < 1:
            raise ValueError(f"FeatureStatistics: keep must be at least 1, got {keep}")
        self.recipe, self.keep, self.count = recipe, keep, 0
        self._random = np.random.Generator(np.random.PCG64([seed]))
        self._mean = torch.zeros(recipe.features, dtype=torch.float64)
        self._scatter = torch.zeros(recipe.features, recipe.features, dtype=torch.float64)
        self._kept = [torch.empty(0, recipe.features)]
        self._keys = [torch.empty(0, dtype=torch.float64)]

    def update(self, features: Tensor) -> None:
        """Adds features [N, recipe.features], any device; sums are formed there.

        Raises ValueError for another shape, or values that are not finite.
        """
        if features.ndim != 2 or features.shape[1] != self.recipe.features:
            expected = f"[N, {self.recipe.features}]"
            raise ValueError(f"FeatureStatistics: features must be {expected}, got {list(features.shape)}")
        if not len(features):
            return
        x = features.detach().double()
        mean = x.mean(dim=0)
        centred = x - mean
        scatter = centred.T @ centred
        if not bool(scatter.diagonal().isfinite().all()):
            raise ValueError("FeatureStatistics: features must be finite; the images or the network are not")
        self._absorb(len(x), mean, scatter)
        self._retain(features.detach().float(), torch.from_numpy(self._random.random(len(features))))

    def merge(self, other: "FeatureStatistics") -> None:
        """Adds all that `other` was given; ValueError unless its recipe is the same. Samples: of different seeds."""
        self.recipe.check_same(other.recipe, "FeatureStatistics.merge")
        if other.count:
            self._absorb(other.count, other._mean, other._scatter)
            self._retain(torch.cat(other._kept), torch.cat(other._keys))

    def _absorb(self, count: int, mean: Tensor, scatter: Tensor) -> None:
        """Chan, Golub and LeVeque 1983: sums of squares about two means, about their common one."""
        total = self.count + count
        delta = mean - self._mean.to(mean.device)
        self._mean = self._mean.to(mean.device) + delta * (count / total)
        between = torch.outer(delta, delta) * (self.count * count / total)
        self._scatter = self._scatter.to(mean.device) + scatter + between
        self.count = total

    def _retain(self, features: Tensor, keys: Tensor) -> None:
        self._kept.append(features.cpu())
        self._keys.append(keys)
        if sum(len(k) for k in self._keys) > 2 * self.keep:
            self._settle()

    def _settle(self) -> None:
        kept, keys = torch.cat(self._kept), torch.cat(self._keys)
        if len(keys) > self.keep:
            chosen = keys.topk(self.keep, largest=False, sorted=False).indices.sort().values
            kept, keys = kept[chosen], keys[chosen]
        self._kept, self._keys = [kept], [keys]

    @property
    def mean(self) -> NDArray[np.float64]:
        """[features]"""
        self._check_enough()
        return self._mean.cpu().numpy()

    @property
    def covariance(self) -> NDArray[np.float64]:
        """[features, features], divided as the recipe says."""
        self._check_enough()
        return (self._scatter / (self.count if self.recipe.covariance == "N" else self.count - 1)).cpu().numpy()

    @property
    def kept(self) -> Tensor:
        """float32 [at most `keep`, features] on the CPU, in the order they came."""
        self._settle()
        return self._kept[0]

    def _check_enough(self) -> None:
        if self.count < 2:
            raise ValueError(f"FeatureStatistics: needs features of at least 2 images, got {self.count}")

    def to_bytes(self, about: dict[str, Any]) -> bytes:
        """A safetensors file that says what it is of; `restore` takes it back only where `about` is the same."""
        self._settle()
        values = (self._mean.cpu(), self._scatter.cpu(), self._kept[0], self._keys[0])
        tensors = {name: value.contiguous() for name, value in zip(TENSORS, values, strict=True)}
        written = {"about": self._about(about), "count": self.count, "sha256": digest(tensors)}
        return save(tensors, {"statistics": json.dumps(written)})  # several entries would come in any order

    def restore(self, content: bytes, about: dict[str, Any]) -> bool:
        """Takes over what `to_bytes` wrote of the same recipe, number kept and `about`; False where `content` is cut
        short, damaged or of something else, and nothing was taken over."""
        try:
            tensors = load(content)
            size = int.from_bytes(content[:8], "little")
            written = json.loads(json.loads(content[8 : 8 + size])["__metadata__"]["statistics"])
            whole = written["about"] == self._about(about) and written["sha256"] == digest(tensors)
            count = int(written["count"])
        except (SafetensorError, ValueError, KeyError):
            return False
        if not whole:
            return False
        self.count = count
        self._mean, self._scatter = tensors["mean"], tensors["scatter"]
        self._kept, self._keys = [tensors["kept"]], [tensors["keys"]]
        self._random.random(count)  # go on where these features left the sequence of keys
        return True

    def _about(self, about: dict[str, Any]) -> dict[str, Any]:
        return {"recipe": self.recipe.identity(), "keep": self.keep, **about}


def digest(tensors: dict[str, Tensor]) -> str:
    total = hashlib.sha256()
    for name in TENSORS:
        total.update(f"{name} {list(tensors[name].shape)}".encode())
        total.update(tensors[name].numpy().reshape(-1).data)
    return total.hexdigest()
