"""Every importer against every malformed file: one clear line that names it, and nothing left behind."""

import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import miniatures
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from PIL.ExifTags import Base

from pumpgan.cli.main import main

ROTATED = 6  # EXIF: what is stored is the upright image turned by 90 degrees counter-clockwise


class Source(NamedTuple):
    """How to make a source, and of one of its images: the file, and its mask's (or template's)."""

    make: Callable[[Path], Path]
    image: str
    mask: str


SOURCES = {
    "pump": Source(miniatures.pump, "images/shot_1.tif", "masks/shot_1_mask.png"),
    "mvtec": Source(miniatures.mvtec, "test/crack/000.png", "ground_truth/crack/000_mask.png"),
    "magnetic-tile": Source(
        miniatures.magnetic_tile, "MT_Crack/Imgs/exp1_num_120150.jpg", "MT_Crack/Imgs/exp1_num_120150.png"
    ),
    "deeppcb": Source(miniatures.deeppcb, "PCBData/group1/1/100_test.jpg", "PCBData/group1/1/100_temp.jpg"),
    "label-maps": Source(miniatures.label_maps, "images/face_1.jpg", "masks/face_1.png"),
    "celebamask-hq": Source(
        miniatures.celebamask_hq, "CelebA-HQ-img/1.jpg", "CelebAMask-HQ-mask-anno/0/00001_skin.png"
    ),
}


def save(path: Path, image: Image.Image, kind: str = "PNG", **options) -> None:
    """Replaces a file; readers go by what is in it, not by its suffix."""
    image.save(path, kind, **options)


def other_size(path: Path) -> None:
    with Image.open(path) as image:
        save(path, image.resize((image.width + 7, image.height)))


def truncated(path: Path) -> None:
    save(path, Image.fromarray(miniatures.noise(0, *Image.open(path).size[::-1])))
    path.write_bytes(path.read_bytes()[:-200])


def sixteen_bit(path: Path) -> None:
    save(path, Image.fromarray(miniatures.noise(0, *Image.open(path).size[::-1]).astype(np.uint16) * 256))


def cmyk(path: Path) -> None:
    save(path, Image.new("CMYK", Image.open(path).size, (9, 90, 9, 0)), "TIFF")


def huge(path: Path) -> None:
    """The header of a PNG of 40,000 pixels each way, and nothing behind it."""
    header = b"IHDR" + struct.pack(">IIBBBBB", 40_000, 40_000, 8, 0, 0, 0, 0)
    checksum = struct.pack(">I", zlib.crc32(header))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + checksum + b"\0\0\0\x40IDAT")


# fault: what it does to a file, what is said of it when that is the image, and when it is the mask
FAULTS = {
    "other size": (other_size, "must be a", "must be a"),
    "missing": (Path.unlink, "has no", "has no"),
    "cut short": (truncated, "cannot be read", "cannot be read"),
    "empty": (lambda path: path.write_bytes(b""), "cannot be read", "cannot be read"),
    "16-bit": (sixteen_bit, "mode I;16", "mode I;16"),
    "CMYK": (cmyk, "mode CMYK", "mode CMYK"),
    "huge": (huge, "million pixels", "million pixels"),
}


def import_by_command(tmp_path: Path, source: str, *options: str):
    arguments = ["--from", str(tmp_path / "from"), "--out", str(tmp_path / "out" / "set"), "--resolution", "16"]
    return CliRunner().invoke(main, ["data", "import", source, *arguments, "--patches", "0", *options])


def assert_refused(tmp_path: Path, source: str, *parts: str) -> None:
    result = import_by_command(tmp_path, source)
    assert result.exit_code == 1 and result.output.startswith("Error: "), result.output
    assert all(part in result.output for part in parts), result.output
    assert not (tmp_path / "out").exists() or list((tmp_path / "out").iterdir()) == []  # hidden ones either


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("broken", ["image", "mask"])
@pytest.mark.parametrize("source", SOURCES)
def test_a_malformed_file_is_named_in_a_line_and_nothing_is_left_behind(tmp_path, source, broken, fault):
    folder = SOURCES[source].make(tmp_path / "from")
    path = folder / getattr(SOURCES[source], broken)
    make, of_image, of_mask = FAULTS[fault]
    make(path)
    if (source, broken, fault) == ("pump", "image", "16-bit"):
        assert import_by_command(tmp_path, source).exit_code == 0  # pumps are read at 16 bits
    elif (source, broken, fault) == ("celebamask-hq", "mask", "missing"):
        assert import_by_command(tmp_path, source).exit_code == 0  # a part that a face lacks has no file
    else:
        assert_refused(tmp_path, source, path.stem.removesuffix("_mask"), of_image if broken == "image" else of_mask)


@pytest.mark.parametrize("source", SOURCES)
def test_a_folder_without_images_is_refused(tmp_path, source):
    folder = SOURCES[source].make(tmp_path / "from")
    for path in folder.rglob("*"):
        if path.is_file():
            path.unlink()
    assert_refused(tmp_path, source, str(folder), "holds no images")


@pytest.mark.parametrize("source", SOURCES)
def test_a_photograph_on_its_side_is_read_as_it_is_seen(tmp_path, source):
    """Stored turned, with EXIF that says so: photograph and mask give what they gave upright."""
    folder = SOURCES[source].make(tmp_path / "from")
    for path in [p for p in folder.rglob("*.*") if p.suffix in (".png", ".jpg", ".tif") and p.parent.name != "extra"]:
        with Image.open(path) as image:
            save(path, image.crop((0, 0, image.width, image.height * 7 // 8)))  # not square
    image, mask = folder / SOURCES[source].image, folder / SOURCES[source].mask
    upright = import_by_command(tmp_path, source)
    assert upright.exit_code == 0, upright.output
    (tmp_path / "out" / "set").rename(tmp_path / "upright")
    exif = Image.Exif()
    exif[Base.Orientation] = ROTATED
    for turned in (image, mask):
        with Image.open(turned) as stored:
            save(turned, stored.transpose(Image.Transpose.ROTATE_90), exif=exif)
        if turned == image or source == "celebamask-hq":  # whose other masks stay as they are
            assert import_by_command(tmp_path, source).exit_code == 0
            assert files(tmp_path / "out" / "set") == files(tmp_path / "upright")
            for path in sorted((tmp_path / "out").rglob("*"), reverse=True):
                path.rmdir() if path.is_dir() else path.unlink()
    with Image.open(mask) as stored:
        save(mask, stored)  # without EXIF: it lies on its side, its photograph does not
    assert_refused(tmp_path, source, mask.name, "must be a")


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*.png"))}
