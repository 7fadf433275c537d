"""Importing one's own photographs, in units of decoding them and their masks alone, and what it holds in memory.

Photographs of 3200x2224 pixels with grain and a few scratches are written to a temporary folder; further ones are links
to the first 30. `ratio` is the time of `import_dataset` over that of a pool of as many threads that decodes each file
once, by Pillow. Peak memory is that of a process that imports and does nothing else. `check` reads what was imported.

    python benchmarks/bench_import.py --photographs 30 --json benchmarks/results/import.json
"""

import itertools
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

import click
import numpy as np
from PIL import Image
from racing import race, ratio, save

from pumpgan.data.check import check
from pumpgan.data.importers import import_dataset

HEIGHT, WIDTH, DISTINCT = 2224, 3200, 30
KINDS = ["grey png", "grey jpg", "grey bmp", "colour png", "colour jpg", "colour bmp"]


def photograph(seed: int, channels: int) -> tuple[Image.Image, Image.Image]:
    """A photograph (mode L or RGB) of a lit, turned surface with grain, and the mask of its scratches, if any."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    surface = 120 + 40 * np.sin(x / 900 + seed) + 6 * np.sin(np.hypot(y - 1100, x - 1600) / 3)
    for cells in (20, 80, 320):
        coarse = Image.fromarray(rng.standard_normal((cells, cells), np.float32))
        surface += 6 * np.asarray(coarse.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC))
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    for _ in range(3 * (seed % 2)):
        top, left = int(rng.integers(300, 1800)), int(rng.integers(800, 2300))
        mask[top : top + 12, left : left + 60] = 255
    surface -= mask / 4
    shape = (HEIGHT, WIDTH) if channels == 1 else (HEIGHT, WIDTH, channels)
    grain = 3 * rng.standard_normal(shape, np.float32)
    pixels = (surface if channels == 1 else surface[..., None]) + grain
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8)), Image.fromarray(mask)


def write_photographs(folder: Path, kinds: list[str], count: int) -> None:
    """images/ and masks/ of `count` photographs, their kinds by turns; after DISTINCT of them the same again."""
    for place in ("images", "masks"):
        (folder / place).mkdir(parents=True)

    def write(i: int) -> None:
        colour, suffix = kinds[i % len(kinds)].split()
        image, mask = photograph(i, 3 if colour == "colour" else 1)
        image.save(folder / "images" / f"part_{i:04d}.{suffix}", **({"quality": 95} if suffix == "jpg" else {}))
        mask.save(folder / "masks" / f"part_{i:04d}.png")

    with ThreadPoolExecutor(os.cpu_count()) as threads:
        list(threads.map(write, range(min(count, DISTINCT))))
    for place in ("images", "masks"):
        first = sorted((folder / place).iterdir())
        for i, path in zip(range(DISTINCT, count), itertools.cycle(first), strict=False):
            os.link(path, folder / place / f"part_{i:04d}{path.suffix}")


def decode(folder: Path) -> None:
    """Every photograph and mask to an array, by Pillow alone."""
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        for _ in threads.map(lambda path: np.asarray(Image.open(path)).shape, sorted(folder.glob("*/*"))):
            pass


ALONE = """
import sys
from pathlib import Path
from pumpgan.data.importers import import_dataset
import_dataset("pump", sys.argv[2], sys.argv[1])
print(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])
"""


def peak_memory_mb(folder: Path, out: Path) -> float:
    """Of a process that imports the photographs and does nothing else. (getrusage would count its parent's too.)"""
    command = [sys.executable, "-c", ALONE, str(folder), str(out)]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout) / 1024


@click.command()
@click.option("--photographs", default=DISTINCT, show_default=True, type=click.IntRange(2))
@click.option("--kind", "kinds", multiple=True, type=click.Choice([*KINDS, "all"]), help="[default: each, and all]")
@click.option("--rounds", default=3, show_default=True, type=click.IntRange(1))
@click.option("--json", "path", type=click.Path(path_type=Path), help="Write the figures to this file too.")
def main(photographs, kinds, rounds, path):
    headings = ("decode s", "import s", "ratio", "peak MB", "check s")
    click.echo(f"{'':>12}" + "".join(f" {heading:>10}" for heading in headings))
    rows = []
    for kind in kinds or [*KINDS, "all"]:
        with tempfile.TemporaryDirectory() as temporary:
            rows.append(measure(kind, photographs, rounds, Path(temporary)))
        click.echo(f"{kind:>12}" + "".join(f" {figure:10.2f}" for figure in list(rows[-1].values())[2:]))
    save(path, rows, "cpu")


def measure(kind: str, photographs: int, rounds: int, temporary: Path) -> dict:
    """A row of figures; `temporary` is an empty folder."""
    folder, numbers = temporary / "from", itertools.count()
    write_photographs(folder, KINDS if kind == "all" else [kind], photographs)
    contenders = {
        "decode": lambda: decode(folder),
        "import": lambda: import_dataset("pump", temporary / str(next(numbers)), folder),
    }
    times = race(contenders, "cpu", warmup=0, rounds=rounds)
    times |= race({"check": lambda: check(temporary / "0")}, "cpu", warmup=0, rounds=1)
    return {
        "what": kind,
        "photographs": photographs,
        "decode_s": median(times["decode"]) / 1e3,
        "import_s": median(times["import"]) / 1e3,
        "ratio": ratio(times, "import", "decode"),
        "peak_mb": peak_memory_mb(folder, temporary / "alone"),
        "check_s": times["check"][0] / 1e3,
    }


if __name__ == "__main__":
    main()
