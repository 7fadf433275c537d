"""Keeping the photographs themselves, of a source that has no files: images/NAME.png and masks/NAME.png."""

import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image

from pumpgan.data.importers.photograph import Pixels, Plan
from pumpgan.data.writer import label_png, new_folder, png, write_file

Keep = Callable[[str, Pixels, Pixels | None], None]


@contextmanager
def full_photographs(folder: Path | None, plan: Plan) -> Iterator[Keep]:
    """Gives a function that takes a photograph's name, pixels and label; threads may call it.

    `folder` (absent or empty) appears when the `with` block ends well; None keeps nothing. The masks of parts are 255
    on defects, as `pump` reads them; those of faces hold the class ids. Raises OSError where the disk refuses.
    """
    if folder is None:
        yield lambda name, image, label: None
        return
    with new_folder(folder) as partial:
        for place in ("images", "masks"):
            (partial / place).mkdir()
        palette = [value for c in plan.classes for value in c.colour]

        def keep(name: str, image: Pixels, label: Pixels | None) -> None:
            write_file(partial / "images" / f"{name}.png", png(Image.fromarray(image), compress_type=zlib.Z_RLE))
            if label is not None:
                mask = (
                    png(Image.fromarray(np.uint8(255) * (label > 0)))
                    if plan.image_labels
                    else label_png(label, palette)
                )
                write_file(partial / "masks" / f"{name}.png", mask)

        yield keep
