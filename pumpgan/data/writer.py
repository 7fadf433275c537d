"""Making a dataset folder: it appears whole, or not at all."""

import contextlib
import errno
import glob
import io
import json
import os
import shutil
import zlib
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pumpgan.data.dataset import FORMAT, SPLITS, Entry, LabelClass, check_metadata

NOT_EMPTY = "{}: is not empty; choose another folder, or remove this one first"
MOST_PENDING = 256  # images handed to the encoding threads before `add` waits; bounds memory


def check_new(out: Path) -> None:
    """Raises OSError unless `out` is absent or an empty folder: nothing is ever overwritten."""
    if out.is_dir():
        if any(out.iterdir()):
            raise FileExistsError(NOT_EMPTY.format(out))
    elif out.exists() or out.is_symlink():
        raise FileExistsError(f"{out}: is not a folder; choose another name")


@contextlib.contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """A hidden folder beside `out` to write into; it becomes `out` when the `with` block ends well, else it is removed.

    `out` must be absent or empty. A disk that is full or refuses becomes one clear OSError.
    """
    check_new(out)
    final = out.resolve()  # `.` has a name, and the disk's other names for it lead there too
    folder = final.parent / f".{final.name}.{os.getpid()}.partial"
    try:
        remove_abandoned(final)
        make(folder, out)
        yield folder
        check_new(out)  # someone may have written there meanwhile
        publish(folder, final)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            text = f"{out}: the disk is full; nothing was kept; free some space or write elsewhere"
        elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EIO):
            text = f"{out}: cannot be written ({error.strerror}); nothing was kept"
        else:
            raise
        raise OSError(text) from error
    finally:
        if folder.exists():
            shutil.rmtree(folder)


def make(folder: Path, out: Path) -> None:
    """Makes `folder` and those above it. Raises OSError, in terms of `out`, where that cannot be."""
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise OSError(f"{out}: cannot be made ({error.strerror}); choose another place") from error


def publish(folder: Path, final: Path) -> None:
    """Renames `folder` to `final`; FileExistsError where that holds something (the system says so in two ways).

    The current folder is filled instead, `dataset.json` last: replacing it would leave whoever stands in it nowhere.
    """
    try:
        if final.is_dir() and final.samefile("."):
            for part in sorted(folder.iterdir(), reverse=True):
                os.rename(part, final / part.name)
            folder.rmdir()
        else:
            os.rename(folder, final)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
            raise FileExistsError(NOT_EMPTY.format(final)) from error
        raise


def remove_abandoned(final: Path) -> None:
    """Removes what writers of `final` left behind that were killed: hidden folders named after no living process."""
    for folder in final.parent.glob(f".{glob.escape(final.name)}.*.partial"):
        process = folder.name.removesuffix(".partial").rpartition(".")[2]
        if process.isdecimal() and not lives(int(process)):
            shutil.rmtree(folder, ignore_errors=True)  # another writer may be doing the same


def lives(process: int) -> bool:
    """Whether there is a process of this number, this one apart: what bears our number was an earlier one's."""
    if process == os.getpid():
        return False
    try:
        os.kill(process, 0)  # sends nothing
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass  # someone else's
    return True


class DatasetWriter:
    """Writes a dataset into a hidden folder beside `out`, and renames it to `out` when the `with` block ends well.

    with DatasetWriter(out, name="plates", classes=PART_CLASSES, size=(128, 128), channels=1, flips="hv") as writer:
        writer.add(Entry("plate_1", "train", photographs=("plate_1",)), image, label)

    `out` must be absent or empty. Where the block fails, what was written is removed and the error goes on.
    Encoding runs in threads; the bytes and their order depend on what is added alone.
    """

    def __init__(
        self,
        out: str | Path,
        *,
        name: str,
        classes: Sequence[LabelClass],
        size: tuple[int, int],
        channels: int,
        flips: str,
        source: dict[str, Any] | None = None,
        generator: dict[str, Any] | None = None,
        image_labels: Sequence[str] = (),
    ):
        check_metadata(classes, size, channels, flips)
        self.out = Path(out)
        check_new(self.out)
        self.classes, self.size, self.channels = tuple(classes), tuple(size), channels
        self.image_labels = tuple(image_labels)
        self.metadata: dict[str, Any] = {
            "format": FORMAT,
            "name": name,
            "classes": [asdict(c) for c in classes],
            "size": list(size),
            "channels": channels,
            "flips": flips,
            "image_labels": list(image_labels),
            "source": source or {},
            "generator": generator,
        }
        self.palette = [value for c in self.classes for value in c.colour]
        self.entries: list[Entry] = []
        self.names: set[str] = set()
        self.counts: dict[str, Counter[str]] = {split: Counter() for split in SPLITS}
        self.presence: dict[str, NDArray[np.int64]] = {split: np.zeros(len(classes), np.int64) for split in SPLITS}
        self.pending: deque[Future[None]] = deque()

    def __enter__(self) -> "DatasetWriter":
        with contextlib.ExitStack() as stack:
            self.folder = stack.enter_context(new_folder(self.out))
            (self.folder / "images").mkdir()
            (self.folder / "labels").mkdir()
            self.threads = ThreadPoolExecutor(min(8, os.cpu_count() or 1), "png")
            stack.callback(self.threads.shutdown, cancel_futures=True)
            self.closing = stack.pop_all()
        return self

    def add(self, entry: Entry, image: NDArray[np.uint8], label: NDArray[np.uint8] | None = None) -> None:
        """Adds an image.

        image: uint8 [H, W] with one channel, [H, W, 3] with three. label: class ids, uint8 [H, W]; None: unlabelled.
        Raises ValueError where they do not fit the dataset or the name is taken, OSError where the disk refuses.
        """
        shape = self.size if self.channels == 1 else (*self.size, 3)
        if image.shape != shape or image.dtype != np.uint8:
            raise ValueError(f"image {entry.name}: must be uint8 {shape}, got {image.dtype} {image.shape}")
        if label is not None and (label.shape != self.size or label.dtype != np.uint8):
            raise ValueError(f"label {entry.name}: must be uint8 {self.size}, got {label.dtype} {label.shape}")
        if label is not None and label.max(initial=0) >= len(self.classes):
            raise ValueError(f"label {entry.name}: ids must be below {len(self.classes)}, got {label.max()}")
        if entry.name in self.names:
            raise ValueError(f"name: {entry.name!r} is taken by an earlier image")
        if entry.image_label is not None and entry.image_label not in self.image_labels:
            known = ", ".join(self.image_labels) or "none in this dataset"
            raise ValueError(f"image_label of {entry.name}: must be one of {known}, got {entry.image_label!r}")
        self.names.add(entry.name)
        self.entries.append(entry)
        self.counts[entry.split]["images"] += 1
        if label is not None:
            self.counts[entry.split]["labelled"] += 1
            self.presence[entry.split] += np.bincount(label.ravel(), minlength=len(self.classes)) > 0
        self.pending.append(self.threads.submit(self._write_pair, entry.name, image.copy(), label))
        while len(self.pending) > MOST_PENDING:
            self.pending.popleft().result()

    def __exit__(self, kind, error, trace) -> None:
        with self.closing:
            if error is not None:
                raise error
            while self.pending:
                self.pending.popleft().result()
            lines = "".join(entry.to_json() + "\n" for entry in self.entries)
            write_file(self.folder / "images.jsonl", lines.encode())
            self.metadata["statistics"] = self._statistics()
            text = json.dumps(self.metadata, indent=1, ensure_ascii=False, allow_nan=False)
            write_file(self.folder / "dataset.json", f"{text}\n".encode())

    def _statistics(self) -> dict[str, Any]:
        return {
            split: {
                "images": self.counts[split]["images"],
                "labelled": self.counts[split]["labelled"],
                "images_with": {c.name: int(n) for c, n in zip(self.classes, self.presence[split], strict=True)},
            }
            for split in SPLITS
        }

    def _write_pair(self, name: str, image: NDArray[np.uint8], label: NDArray[np.uint8] | None) -> None:
        # Grain holds no repeats worth the search: with run lengths alone files are as small, in a third of the time.
        content = png(Image.fromarray(image), compress_type=zlib.Z_RLE)
        write_file(self.folder / "images" / f"{name}.png", content)
        if label is not None:
            write_file(self.folder / "labels" / f"{name}.png", label_png(label, self.palette))


def png(image: Image.Image, **options: int) -> bytes:
    """The image as the bytes of a PNG file; options are those of Pillow's writer."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG", **options)
    return buffer.getvalue()


def label_png(label: NDArray[np.uint8], palette: Sequence[int]) -> bytes:
    """Class ids as a palette PNG: any viewer shows the class colours, any reader gets the ids.

    palette: red, green, blue of class 0, of class 1, ... one after the other.
    """
    return png(label_picture(label, palette))


def label_picture(label: NDArray[np.uint8], palette: Sequence[int]) -> Image.Image:
    """The picture of `label_png`."""
    picture = Image.fromarray(label)
    picture.putpalette([*palette, *bytes(768 - len(palette))])  # a full palette makes it 8 bits a pixel
    return picture


def write_file(path: Path, content: bytes) -> None:
    path.write_bytes(content)
