"""NVIDIA's data sets, sound and broken, as a zip and as a folder."""

import io
import json
import struct
import warnings
import zipfile
import zlib
from collections import Counter

import numpy as np
import pytest
from click.testing import CliRunner
from miniatures import noise
from PIL import Image

from pumpgan.cli.main import main
from pumpgan.data.check import check
from pumpgan.data.importers import import_dataset, nvidia_zip
from pumpgan.data.photographs import photographs_of

SIDE = 16


def png(pixels: np.ndarray, kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


def image_names(count: int) -> list[str]:
    return [f"{i // 4:05d}/img{i:08d}.png" for i in range(count)]


def contents(count: int = 8, labels=None, shape: tuple[int, ...] = (SIDE, SIDE, 3)) -> dict[str, bytes]:
    """The files of a set: four images a folder; labels: one an image."""
    names = image_names(count)
    files = {name: png(noise(i, *shape)) for i, name in enumerate(names)}
    pairs = None if labels is None else [list(pair) for pair in zip(names, labels, strict=True)]
    return files | {"dataset.json": json.dumps({"labels": pairs}).encode()}


def zipped(place, files: dict[str, bytes], method: int = zipfile.ZIP_STORED):
    with zipfile.ZipFile(place / "from.zip", "w", method) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return place / "from.zip"


def unpacked(place, files: dict[str, bytes]):
    for name, content in files.items():
        (place / "from" / name).parent.mkdir(parents=True, exist_ok=True)
        (place / "from" / name).write_bytes(content)
    return place / "from"


def refused(tmp_path, source, *parts: str, **options) -> str:
    """Asserts that the command says each part in one error, and that nothing appears where the set would be."""
    given = [text for name, value in options.items() for text in (f"--{name.replace('_', '-')}", value)]
    out = str(tmp_path / "out" / "set")
    said = CliRunner().invoke(main, ["data", "import", "nvidia-zip", "--from", str(source), "--out", out, *given])
    assert said.exit_code == 1 and said.output.startswith("Error: "), said.output
    assert all(part in said.output for part in parts), said.output
    assert not (tmp_path / "out").exists() or list((tmp_path / "out").iterdir()) == []
    return said.output


# Sound -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [zipped, unpacked])
def test_images_keep_their_pixels_and_labels_become_image_labels(tmp_path, make):
    labels = [2, 0, 0, 2, 0, 0, 0, 2]
    source = make(tmp_path, contents(labels=labels))
    opened = import_dataset("nvidia-zip", tmp_path / "set", source)
    assert check(tmp_path / "set") == []
    assert (opened.size, opened.channels, opened.image_labels) == ((SIDE, SIDE), 3, ("0", "1", "2"))
    assert [entry.name for entry in opened.entries] == [
        name.replace("/", "_").removesuffix(".png") for name in image_names(8)
    ]
    for i, entry in enumerate(opened.entries):
        np.testing.assert_array_equal(opened.image(entry), noise(i, SIDE, SIDE, 3))
        assert opened.label(entry) is None
        assert (entry.image_label, entry.kind) == (str(labels[i]), str(labels[i]))
    assert Counter((entry.split, entry.image_label) for entry in opened.entries) == {
        ("train", "0"): 4, ("test", "0"): 1, ("train", "2"): 2, ("test", "2"): 1
    }  # fmt: skip
    assert photographs_of(opened).keys() == {entry.name for entry in opened.entries}


def test_a_zip_and_a_folder_of_the_same_files_give_the_same_set(tmp_path):
    files = contents(labels=[0, 1] * 4)
    first = import_dataset("nvidia-zip", tmp_path / "a", zipped(tmp_path, files, zipfile.ZIP_DEFLATED))
    second = import_dataset("nvidia-zip", tmp_path / "b", unpacked(tmp_path, files))
    assert first.entries == second.entries
    for entry in first.entries:
        assert first.image_path(entry).read_bytes() == second.image_path(entry).read_bytes()


@pytest.mark.parametrize("metadata", [b'{"labels": null}', b"{}", None])
def test_a_set_without_labels_has_images_alone(tmp_path, metadata):
    files = contents()
    files.pop("dataset.json")
    source = zipped(tmp_path, files if metadata is None else files | {"dataset.json": metadata})
    opened = import_dataset("nvidia-zip", tmp_path / "set", source)
    assert opened.image_labels == () and {entry.image_label for entry in opened.entries} == {None}
    assert Counter(entry.split for entry in opened.entries) == {"train": 6, "test": 2}


def test_one_hot_vectors_are_classes_and_may_have_names(tmp_path):
    vectors = [[0, 1, 0], [1.0, 0.0, 0.0]] * 4
    opened = import_dataset("nvidia-zip", tmp_path / "set", zipped(tmp_path, contents(labels=vectors)))
    assert opened.image_labels == ("0", "1", "2")
    assert [entry.image_label for entry in opened.entries] == ["1", "0"] * 4
    named = import_dataset("nvidia-zip", tmp_path / "named", tmp_path / "from.zip", class_names="cat, dog,owl")
    assert [entry.image_label for entry in named.entries] == ["dog", "cat"] * 4
    refused(tmp_path, tmp_path / "from.zip", "--class-names: must name 3 classes", class_names="cat,dog")


def test_grey_images_that_are_not_square_keep_their_shape(tmp_path):
    source = unpacked(tmp_path, contents(4, shape=(12, 20)))
    opened = import_dataset("nvidia-zip", tmp_path / "set", source)
    assert (opened.size, opened.channels) == ((12, 20), 1)
    np.testing.assert_array_equal(opened.image(opened.entries[1]), noise(1, 12, 20))
    assert opened.entries[1].box == (0, 0, 20, 12)


def test_what_finder_and_others_leave_in_a_zip_is_passed_over(tmp_path):
    more = {"__MACOSX/00000/._img00000000.png": b"x", ".DS_Store": b"x", "00000/.hidden.png": b"x", "readme.txt": b"x"}
    opened = import_dataset("nvidia-zip", tmp_path / "set", zipped(tmp_path, contents() | more))
    assert len(opened.entries) == 8


# Broken files ------------------------------------------------------------------------------------------------


def truncated(content: bytes) -> bytes:
    return content[:-200]


def huge(content: bytes) -> bytes:
    header = b"IHDR" + struct.pack(">IIBBBBB", 40_000, 40_000, 8, 0, 0, 0, 0)
    checksum = struct.pack(">I", zlib.crc32(header))
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + checksum + b"\0\0\0\x40IDAT"


FAULTS = {
    "cut short": (truncated, "cannot be read"),
    "empty": (lambda content: b"", "cannot be read"),
    "huge": (huge, "million pixels"),
    "PostScript": (
        lambda content: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 16 16\n%%EndComments\n",
        "cannot identify",
    ),
    "other size": (lambda content: png(noise(0, SIDE, SIDE + 1, 3)), "must be 16x16"),
    "grey among colour": (lambda content: png(noise(0, SIDE, SIDE)), "mode RGB, as the first image, got 16x16"),
    "with transparency": (lambda content: png(noise(0, SIDE, SIDE, 4)), "got mode RGBA"),
    "16-bit": (lambda content: png(noise(0, SIDE, SIDE).astype(np.uint16)), "got mode I;16"),
}


@pytest.mark.parametrize("make", [zipped, unpacked])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_malformed_image_is_named_in_a_line_and_nothing_is_left_behind(tmp_path, make, fault):
    files = contents()
    change, text = FAULTS[fault]
    files["00001/img00000005.png"] = change(files["00001/img00000005.png"])
    refused(tmp_path, make(tmp_path, files), "00001/img00000005.png: ", text)


@pytest.mark.parametrize("name", ["../out.png", "00000/../../out.png", "/etc/out.png", "..\\out.png", "C:/out.png"])
def test_names_that_lead_out_of_the_zip_are_refused(tmp_path, name):
    refused(tmp_path, zipped(tmp_path, contents() | {name: png(noise(0, SIDE, SIDE, 3))}), "leads out of it")
    assert list(tmp_path.rglob("out.png")) == []


def test_what_is_no_zip_or_half_of_one_is_refused(tmp_path):
    refused(tmp_path, tmp_path / "nowhere.zip", "no such folder")
    (tmp_path / "text.zip").write_text("not a zip")
    refused(tmp_path, tmp_path / "text.zip", "text.zip: cannot be read")
    whole = zipped(tmp_path, contents()).read_bytes()
    (tmp_path / "half.zip").write_bytes(whole[: len(whole) // 2])
    refused(tmp_path, tmp_path / "half.zip", "half.zip: cannot be read")
    refused(tmp_path, zipped(tmp_path, {"readme.txt": b"x"}), "holds no images of the layout nvidia-zip")


def test_pixels_changed_within_a_zip_are_found_by_its_checksum(tmp_path):
    files = contents(shape=(128, 128))
    source = zipped(tmp_path, files)
    content = bytearray(source.read_bytes())
    content[content.index(files["00000/img00000002.png"]) + len(files["00000/img00000002.png"]) - 1] ^= 1  # in IEND
    source.write_bytes(content)
    refused(tmp_path, source, "00000/img00000002.png: cannot be read (Bad CRC-32")


def test_an_encrypted_file_and_one_given_twice_are_refused(tmp_path):
    source = zipped(tmp_path, contents())
    content = bytearray(source.read_bytes())
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(mark) + offset] |= 1
    source.write_bytes(content)
    refused(tmp_path, source, "img00000000.png: cannot be read (File", "encrypted")
    with zipfile.ZipFile(zipped(tmp_path, contents()), "a") as archive, warnings.catch_warnings(action="ignore"):
        archive.writestr("00000/img00000003.png", b"x")
    refused(tmp_path, source, "img00000003.png: is there twice")


def test_a_file_that_unpacks_to_too_much_is_not_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(nvidia_zip, "MOST_BYTES", 100_000)
    bomb = zipped(tmp_path, contents() | {"bomb.png": bytes(100_001)}, zipfile.ZIP_DEFLATED)
    refused(tmp_path, bomb, "bomb.png: unpacks to 100001 bytes, at most 100000 are read")


def test_two_images_that_would_be_called_alike_are_refused(tmp_path):
    image = png(noise(0, SIDE, SIDE, 3))
    refused(tmp_path, zipped(tmp_path, {"a/b_c.png": image, "a_b/c.png": image}), "a_b/c.png: is called a_b_c")


# Broken labels -----------------------------------------------------------------------------------------------

NAMES = image_names(8)


@pytest.mark.parametrize(
    ("pairs", "text"),
    [
        ([[name, 0] for name in NAMES[:7]], "img00000007.png: has no label in dataset.json"),
        ([[name, 0] for name in [*NAMES, "00009/img9.png"]], "labels 00009/img9.png, which is not there"),
        ([[name, 0] for name in [*NAMES, NAMES[0]]], "labels 00000/img00000000.png twice"),
        ([[name, [0.2, 0.8]] for name in NAMES], "img00000000.png must be a class; vectors are read only if one-hot"),
        ([[name, [0, 0]] for name in NAMES], "vectors are read only if one-hot"),
        ([[name, [0, 1, 1]] for name in NAMES], "vectors are read only if one-hot"),
        ([[name, []] for name in NAMES], "vectors are read only if one-hot"),
        ([[name, [1, 0][: 1 + i % 2]] for i, name in enumerate(NAMES)], "vectors of one length, got 2 kinds"),
        ([[name, -1] for name in NAMES], "must be a number from 0 on or a one-hot vector, got -1"),
        ([[name, 0.5] for name in NAMES], "got 0.5"),
        ([[name, True] for name in NAMES], "got True"),
        ([[name, 10**9] for name in NAMES], "got 1000000000"),
        ([[name] for name in NAMES], "a label must be [name, class]"),
        ({"img": 0}, 'must hold {"labels"'),
    ],
)
def test_labels_that_do_not_fit_are_refused(tmp_path, pairs, text):
    files = contents() | {"dataset.json": json.dumps({"labels": pairs}).encode()}
    refused(tmp_path, zipped(tmp_path, files), text)


@pytest.mark.parametrize("content", [b"{", b"[]", b"\xff", b"[" * 200_000, b"1" * 5000])
def test_a_dataset_json_that_is_none_is_refused(tmp_path, content):
    refused(tmp_path, zipped(tmp_path, contents() | {"dataset.json": content}), "dataset.json: ")


def test_class_names_without_labels_are_refused(tmp_path):
    refused(tmp_path, zipped(tmp_path, contents()), "--class-names: ", "has no labels", class_names="a,b")
