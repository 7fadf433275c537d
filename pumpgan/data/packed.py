"""A split of a dataset as arrays to train on: decoded once, kept beside the dataset, memory-mapped afterwards."""

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from pumpgan.cache import user_cache
from pumpgan.data.dataset import PART_IMAGE_LABELS, Dataset, Entry, LabelClass
from pumpgan.data.writer import publish

CHUNK = 256  # images decoded ahead of the one being written


@dataclass(frozen=True)
class Packed:
    """Images and labels of a split.

    images: uint8 [N, C, H, W]. labels: uint8 [N, H, W], class ids; zeros where unlabelled. labelled: bool [N].
    All on the CPU, and views of a file where they come from `pack`: do not write into them.
    digest: SHA-256 of images, labels and labelled, in hex; a resumed run compares it.
    """

    images: Tensor
    labels: Tensor
    labelled: Tensor
    entries: tuple[Entry, ...]
    classes: tuple[LabelClass, ...]
    image_labels: tuple[str, ...]
    flips: str
    digest: str

    def __len__(self) -> int:
        return len(self.images)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(entry.name for entry in self.entries)

    def targets(self) -> Tensor:
        """What a classifier learns, int64 [N]: 1 for a defect, 0 for none, -1 where nothing tells.

        The image label decides (its position in `image_labels`, at most 1), else whether any pixel's id is over 0.
        ValueError for an image label that the set does not have.
        """
        any_pixel = self.labels.flatten(1).amax(1) > 0
        targets = torch.where(self.labelled, any_pixel.long(), -1)
        for i, entry in enumerate(self.entries):
            if entry.image_label is None:
                continue
            if entry.image_label not in self.image_labels:
                known = ", ".join(self.image_labels) or "none"
                raise ValueError(
                    f"{entry.name}: image label must be one of the dataset's, {known}; got {entry.image_label!r}"
                )
            targets[i] = min(1, self.image_labels.index(entry.image_label))
        return targets

    def pixels_tell(self) -> Tensor:
        """Whether an image's labels say what it shows, bool [N]: not where it has none, nor where the image label tells
        of a defect of which no pixel is labelled, or none outlived resizing."""
        return self.labelled & ((self.labels.flatten(1).amax(1) > 0) | (self.targets() != 1))

    def take(self, indices: Sequence[int] | Tensor) -> "Packed":
        """The images at `indices`, in that order, copied."""
        chosen = torch.as_tensor(indices, dtype=torch.int64)
        images, labels, labelled = self.images[chosen], self.labels[chosen], self.labelled[chosen]
        return replace(
            self,
            images=images,
            labels=labels,
            labelled=labelled,
            entries=tuple(self.entries[i] for i in chosen.tolist()),
            digest=digest(images, labels, labelled),
        )

    def keep_labels(self, count: int, seed: int) -> "Packed":
        """The same images with the labels of `count` of the labelled ones, drawn by `seed`; the others unlabelled."""
        held = self.labelled.nonzero().flatten()
        if not 0 <= count <= len(held):
            raise ValueError(f"labelled: must be 0 to {len(held)}, the labelled images of this set, got {count}")
        order = np.random.Generator(np.random.PCG64([seed, len(held)])).permutation(len(held))
        labelled = torch.zeros_like(self.labelled)
        labelled[held[torch.from_numpy(order[:count])]] = True
        labels = torch.where(labelled[:, None, None], self.labels, torch.zeros_like(self.labels))
        return replace(self, labels=labels, labelled=labelled, digest=digest(self.images, labels, labelled))


def pack(dataset: Dataset, split: str = "train", resolution: int | None = None) -> Packed:
    """A split as arrays, at its own size or resized to `resolution` (images by Lanczos, labels by nearest pixel).

    The first call decodes every file and writes the arrays into `.packed` in the dataset's folder (or, where that
    cannot be written, in $PUMPGAN_CACHE, by default pumpgan in the user's cache folder); later calls map that file.
    A cached file that does not belong to the present files, or is damaged, is made anew.

    Raises ValueError where the split is empty, a file is wrong, or a set that is not square is to be resized.
    """
    entries = tuple(dataset.split(split))
    if not entries:
        raise ValueError(f"{dataset.path}: has no {split} images")
    height, width = dataset.size
    if resolution is not None:
        if resolution < 1:
            raise ValueError(f"resolution: must be a number of pixels, got {resolution}")
        if height != width:
            raise ValueError(
                f"resolution: {dataset.path} is not square ({width}x{height}); import it with --resolution"
            )
        height = width = resolution
    shape = (len(entries), dataset.channels, height, width)
    name = f"{split}-{width}x{height}-{fingerprint(dataset, split)}"
    folder = cache_folder(dataset)
    sizes = {"images": shape, "labels": (len(entries), height, width), "labelled": (len(entries),)}
    arrays = read_arrays(folder / name, sizes)
    for _ in range(2):  # a process that mends the same damage may remove what this one has just put there
        if arrays is None:
            write_arrays(folder, name, dataset, entries, sizes)
            arrays = read_arrays(folder / name, sizes)
    if arrays is None:
        raise OSError(f"{folder / name}: what was just written reads back differently; check this disk")
    images, labels, labelled, content = arrays
    return Packed(
        images, labels, labelled, entries, dataset.classes, dataset.image_labels, dataset.flips, content
    )  # fmt: skip


def pack_told(dataset: Dataset, split: str = "train", resolution: int | None = None) -> Packed:
    """`pack`, where an image that only its labels tell about gets the image label that they give at the dataset's own
    size: small defects do not outlive resizing."""
    packed = pack(dataset, split, resolution)
    if packed.images.shape[2:] == dataset.size:
        return packed
    names = dataset.image_labels or PART_IMAGE_LABELS
    told = pack(dataset, split).targets().tolist()
    entries = tuple(
        replace(entry, image_label=names[target]) if entry.image_label is None and target >= 0 else entry
        for entry, target in zip(packed.entries, told, strict=True)
    )
    return replace(packed, entries=entries, image_labels=names)


def merge(parts: Sequence[Packed]) -> Packed:
    """The images of several sets one after the other; classes and flips of the first, image labels of those with any.

    Raises ValueError where class lists, channels or sizes differ, or flips (mirroring must suit all of them).
    """
    if not parts:
        raise ValueError("merge: needs at least one set, got none")
    first = parts[0]
    for other in parts[1:]:
        for what, mine, theirs in (
            ("classes", [c.name for c in first.classes], [c.name for c in other.classes]),
            ("channels, height and width", tuple(first.images.shape[1:]), tuple(other.images.shape[1:])),
            ("flips", first.flips, other.flips),
        ):
            if mine != theirs:
                raise ValueError(f"merge: {what} must be equal, got {mine} and {theirs}")
    if len(parts) == 1:
        return first
    named = [part.image_labels for part in parts if part.image_labels] or [()]
    for image_labels in named[1:]:
        if image_labels != named[0]:
            raise ValueError(f"merge: image labels must be equal, got {named[0]} and {image_labels}")
    images, labels, labelled = (
        torch.cat([getattr(part, name) for part in parts]) for name in ("images", "labels", "labelled")
    )
    entries = tuple(entry for part in parts for entry in part.entries)
    content = hashlib.sha256("".join(part.digest for part in parts).encode()).hexdigest()
    return replace(
        first,
        images=images,
        labels=labels,
        labelled=labelled,
        entries=entries,
        image_labels=named[0],
        digest=content,
    )


def digest(images: Tensor, labels: Tensor, labelled: Tensor) -> str:
    """SHA-256 over the bytes of the three, in hex."""
    total = hashlib.sha256()
    for array in (images, labels, labelled):
        total.update(f"{tuple(array.shape)}".encode())
        total.update(array.contiguous().numpy().reshape(-1).data)
    return total.hexdigest()


# The cache ---------------------------------------------------------------------------------------------------


def cache_folder(dataset: Dataset) -> Path:
    if os.access(dataset.path, os.W_OK):
        return dataset.path / ".packed"
    place = hashlib.sha256(str(dataset.path.resolve()).encode()).hexdigest()[:16]
    return user_cache() / "packed" / f"{dataset.path.name}-{place}"


def fingerprint(dataset: Dataset, split: str) -> str:
    """16 hex digits that change when a file of the split does: from the entries, and each file's size and time."""
    total = hashlib.sha256((dataset.path / "dataset.json").read_bytes())
    for entry in dataset.split(split):
        total.update(entry.to_json().encode())
        for path in (dataset.image_path(entry), dataset.label_path(entry)):
            try:
                about = path.stat()
            except FileNotFoundError:
                total.update(b"absent")  # an unlabelled image; a missing image shows when it is decoded
            else:
                total.update(f"{about.st_size} {about.st_mtime_ns}".encode())
    return total.hexdigest()[:16]


def read_arrays(folder: Path, sizes: dict[str, tuple[int, ...]]) -> tuple[Tensor, Tensor, Tensor, str] | None:
    """The mapped arrays and their digest, or None where they are absent, of another shape, or not what was written."""
    tensors = []
    try:
        expected = json.loads((folder / "digest.json").read_text())
        for name, shape in sizes.items():
            if (folder / name).stat().st_size != int(np.prod(shape)):
                return None
            # Copy-on-write: torch wants writable memory, the file must not change.
            mapped = np.memmap(folder / name, dtype=np.bool_ if name == "labelled" else np.uint8, mode="c", shape=shape)
            tensors.append(torch.from_numpy(mapped))
    except (FileNotFoundError, ValueError):
        return None
    images, labels, labelled = tensors
    content = digest(images, labels, labelled)
    return (images, labels, labelled, content) if content == expected else None


def write_arrays(
    folder: Path, name: str, dataset: Dataset, entries: tuple[Entry, ...], sizes: dict[str, tuple[int, ...]]
) -> None:
    """Decodes the entries into `folder`/`name`: written aside, then renamed. Older packings of that split go, and a
    damaged one of this name; a whole one stays: another process was first, with the same content."""
    _, height, width = sizes["labels"]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(prefix=f".{name}.", dir=folder))
        try:
            labelled = np.zeros(len(entries), np.bool_)
            # Plain writes, not a mapped file: a full disk is then an error and not a crash.
            with open(aside / "images", "wb") as images, open(aside / "labels", "wb") as labels:
                for i, (image, label) in enumerate(decode(dataset, entries, (height, width))):
                    images.write(image.tobytes())
                    labelled[i] = label is not None
                    labels.write(bytes(height * width) if label is None else label.tobytes())
            (aside / "labelled").write_bytes(labelled.tobytes())
            pixels, ids = (
                torch.from_numpy(np.memmap(aside / kind, np.uint8, "c", shape=sizes[kind]))
                for kind in ("images", "labels")
            )
            content = digest(pixels, ids, torch.from_numpy(labelled))
            (aside / "digest.json").write_text(json.dumps(content))
            for old in folder.glob(f"{name.rpartition('-')[0]}-*"):
                if old.name != name or read_arrays(old, sizes) is None:
                    shutil.rmtree(old, ignore_errors=True)  # another process may be doing the same
            with contextlib.suppress(FileExistsError):
                publish(aside, folder / name)
        finally:
            shutil.rmtree(aside, ignore_errors=True)
    except OSError as error:
        if error.errno is None:  # a dataset file that cannot be read, named already
            raise
        raise OSError(f"{folder}: the decoded images cannot be kept here ({error.strerror})") from error


def decode(
    dataset: Dataset, entries: Sequence[Entry], size: tuple[int, int]
) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.uint8] | None]]:
    """Image [C, H, W] and label [H, W] or None of each entry, resized to `size`, decoded by threads, in order."""

    def one(entry: Entry) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:
        image, label = dataset.image(entry), dataset.label(entry)
        if size != tuple(dataset.size):
            image = np.asarray(Image.fromarray(image).resize(size[::-1], Image.Resampling.LANCZOS))
            if label is not None:
                label = np.asarray(Image.fromarray(label).resize(size[::-1], Image.Resampling.NEAREST))
        return (image[None] if image.ndim == 2 else image.transpose(2, 0, 1)), label

    with ThreadPoolExecutor(min(8, os.cpu_count() or 1), "decode") as threads:
        for start in range(0, len(entries), CHUNK):
            yield from threads.map(one, entries[start : start + CHUNK])
