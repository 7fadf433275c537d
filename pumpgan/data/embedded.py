"""The dataset that needs no files: procedural faces, made once into the user's cache folder."""

from collections.abc import Callable
from pathlib import Path

from pumpgan.cache import user_cache
from pumpgan.data.importers import import_dataset
from pumpgan.data.synthetic_face import DRAWING

FACES, SIZE, SEED = 2_000, 64, 0


def synthetic_faces(say: Callable[[str], None] = print) -> Path:
    """The folder of the embedded synthetic-face dataset (2,000 faces at 64 px), made first if it is not there yet."""
    folder = user_cache() / f"synthetic-face-{FACES}-{SIZE}px-drawing{DRAWING}"
    if not (folder / "dataset.json").exists():
        say(f"no --data given: drawing {FACES} synthetic faces at {SIZE} px into {folder}, once")
        folder.parent.mkdir(parents=True, exist_ok=True)
        try:
            import_dataset("synthetic-face", folder, count=FACES, resolution=SIZE, seed=SEED)
        except FileExistsError:
            if not (folder / "dataset.json").exists():  # else another process was first, with the same faces
                raise
    else:
        say(f"no --data given: training on the embedded synthetic faces in {folder}")
    return folder
