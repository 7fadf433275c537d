"""How far generated images are from real ones, in figures, each with the recipe it was made by."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import Tensor

from pumpgan.cache import user_cache
from pumpgan.metrics.distances import NEIGHBOURS, frechet_distance, kernel_distance, precision_recall
from pumpgan.metrics.extractors import Extractor
from pumpgan.metrics.features import KEPT, FeatureStatistics

CHUNK = 256  # images between two calls of `advance`

Advance = Callable[[int], object]


def real_statistics(
    images: Tensor,
    digest: str,
    extractor: Extractor,
    *,
    keep: int = KEPT,
    mirrored: tuple[int, ...] = (),
    advance: Advance = lambda images: None,
) -> FeatureStatistics:
    """Features of a dataset's images uint8 [N, C, H, W], computed once and kept in the user's cache folder.

    digest: names the images' content, as `Packed.digest`. keep: so many single features; with at least N all of them,
    in the images' order. mirrored: axes along which each image is flipped first. advance: told of every few images that
    were looked at; of none where the cache had them. A cached file that is cut, damaged or of something else is made
    anew. Raises OSError where the cache folder cannot be written.
    """
    about = {"digest": digest} | ({"mirrored": list(mirrored)} if mirrored else {})
    statistics = FeatureStatistics(extractor.recipe, keep=keep)
    which = f"{digest[:16]}-{images.shape[-1]}x{images.shape[-2]}"
    which += (f"-keep{keep}" if keep != KEPT else "") + "".join(f"-mirrored{axis}" for axis in mirrored)
    recipe = f"{extractor.recipe.name}-{(extractor.recipe.sha256 or 'none')[:8]}"
    path = user_cache() / "metrics" / f"{which}-{recipe}.safetensors"
    if path.is_file() and statistics.restore(path.read_bytes(), about):
        return statistics
    for chunk in images.split(CHUNK):
        statistics.update(extractor(chunk.flip(mirrored)))
        advance(len(chunk))
    keep_file(path, statistics.to_bytes(about))
    return statistics


def keep_file(path: Path, content: bytes) -> None:
    """Written aside, then renamed: another process finds all of it or nothing."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            aside.write_bytes(content)
            os.replace(aside, path)
        finally:
            aside.unlink(missing_ok=True)
    except OSError as error:
        reason = error.strerror or str(error)
        raise OSError(f"{path}: cannot be written ({reason}); free some space, or set PUMPGAN_CACHE") from error


def distance(real: FeatureStatistics, generated: FeatureStatistics) -> float:
    """Their Fréchet distance; `real.recipe.metric` is its name. ValueError where recipes differ."""
    real.recipe.check_same(generated.recipe, "distance")
    sides = real.mean, real.covariance, generated.mean, generated.covariance
    return frechet_distance(*sides, eps=real.recipe.eps)


def compare(real: FeatureStatistics, generated: FeatureStatistics) -> dict[str, Any]:
    """Generated images beside real ones, JSON-ready.

    Returns:
        images {real, generated}; recipe: all that makes the figures comparable, N the generated images; then fid and
        kid with an Inception network, feature_distance and kernel_distance with the stand-in; precision and recall.
        All but the first are of at most `generated.keep` images of each side; None where there are too few.

    Raises:
        ValueError: different recipes, or fewer than two images on a side.
    """
    frechet = distance(real, generated)
    few = min(real.count, generated.count) <= NEIGHBOURS
    precision, recall = (None, None) if few else precision_recall(real.kept, generated.kept)
    stand_in = real.recipe.name == "stand-in"
    return {
        "images": {"real": real.count, "generated": generated.count},
        "recipe": {**real.recipe.record(), "N": generated.count},
        real.recipe.metric: frechet,
        "kernel_distance" if stand_in else "kid": kernel_distance(real.kept, generated.kept)[0],
        "precision": precision,
        "recall": recall,
    }


def name_of(recipe: dict[str, Any]) -> str:
    """`FID (sg2, N = 10000)`, or what the stand-in's distance may be called."""
    if recipe["name"] == "stand-in":
        return f"feature distance (stand-in, not FID; N = {recipe['N']})"
    return f"FID ({recipe['name']}, N = {recipe['N']})"


def table(compared: dict[str, Any]) -> str:
    """Plain text of `compare`: a figure a line under its honest name."""
    recipe, count = compared["recipe"], compared["images"]
    named = {
        name_of(recipe): compared.get("fid", compared.get("feature_distance")),
        "KID": compared.get("kid"),
        "kernel distance (stand-in, not KID)": compared.get("kernel_distance"),
        "precision": compared["precision"],
        "recall": compared["recall"],
    }
    shown = {name: f"{value:.4f}" for name, value in named.items() if value is not None}
    width, places = max(map(len, shown)), max(map(len, shown.values()))
    lines = [f"{count['real']} real / {count['generated']} generated images, features of {recipe['extractor']}"]
    return "\n".join([*lines, *(f"{name.ljust(width)}  {value.rjust(places)}" for name, value in shown.items())])
