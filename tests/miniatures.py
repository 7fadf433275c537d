"""Small sources in each layout that an importer reads, made from a seed, and small datasets."""

from pathlib import Path

import numpy as np
from PIL import Image

from pumpgan.data.dataset import FACE_CLASSES, Dataset, Entry
from pumpgan.data.writer import DatasetWriter

FACE_PALETTE = [value for i in range(19) for value in (i * 13, 255 - i * 13, i * 5)]


def noise(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def save_index(path: Path, ids: np.ndarray, mode: str = "P") -> None:
    mask = Image.fromarray(ids.astype(np.uint8))
    if mode == "P":
        mask.putpalette(FACE_PALETTE)
    mask.save(path)


def face_ids(seed: int, side: int) -> np.ndarray:
    """Ids 0 to 18 in blocks, so that every part is there and survives halving."""
    cells = np.arange((side // 4) ** 2).reshape(side // 4, side // 4) + seed
    return (cells.repeat(4, 0).repeat(4, 1) % 19).astype(np.uint8)


def label_maps(folder: Path, faces: int = 6, image_side: int = 64, mask_side: int = 32, masks: str = "masks") -> Path:
    """images/face_N.jpg with palette masks at half the size."""
    (folder / "images").mkdir(parents=True)
    (folder / masks).mkdir()
    for i in range(faces):
        Image.fromarray(noise(i, image_side, image_side, 3)).save(folder / "images" / f"face_{i}.jpg")
        save_index(folder / masks / f"face_{i}.png", face_ids(i, mask_side))
    return folder


def celebamask_hq(folder: Path, faces: int = 5) -> Path:
    """The release: images of 64 pixels, masks of 32, in folders of two faces; skin, hair over it, and one l_eye."""
    (folder / "CelebA-HQ-img").mkdir(parents=True)
    for i in range(faces):
        Image.fromarray(noise(i, 64, 64, 3)).save(folder / "CelebA-HQ-img" / f"{i}.jpg")
        masks = folder / "CelebAMask-HQ-mask-anno" / str(i // 2)
        masks.mkdir(parents=True, exist_ok=True)
        for part, box in (("skin", (0, 24)), ("hair", (16, 32)), ("l_eye", (4, 8))):
            mask = np.zeros((32, 32, 3), np.uint8)
            mask[box[0] : box[1]] = 255
            Image.fromarray(mask).save(masks / f"{i:05d}_{part}.png")
    return folder


def magnetic_tile(folder: Path) -> Path:
    """Five tiles of two photographs each, their sizes all different: free, blowhole, crack; one uneven with no mask."""
    number = 100_000
    kinds = ["MT_Free", "MT_Free", "MT_Blowhole", "MT_Blowhole", "MT_Crack", "MT_Free", "MT_Crack", "MT_Uneven"]
    for i, kind in enumerate([*kinds, "MT_Free", "MT_Free"]):
        place = folder / kind / "Imgs"
        place.mkdir(parents=True, exist_ok=True)
        number += 50 if i % 2 else 5000
        height, width = 60 + 3 * i, 90 - 4 * i
        mask = np.zeros((height, width), np.uint8)
        if kind in ("MT_Blowhole", "MT_Crack"):
            mask[20:30, 20:28] = 255
            mask[30, 20:28] = 90  # the anti-aliased rim
        Image.fromarray(noise(i, height, width)).save(place / f"exp{i % 2 + 1}_num_{number}.jpg")
        Image.fromarray(mask).save(place / f"exp{i % 2 + 1}_num_{number}.png")
    return folder


def mvtec(folder: Path, side: int = 48, suffix: str = "png") -> Path:
    """A category of MVTec AD: 4 + 2 good photographs, 2 cracks and 2 dents with masks, and files that are not read."""
    for place, count in (("train/good", 4), ("test/good", 2), ("test/crack", 2), ("test/dent", 2)):
        (folder / place).mkdir(parents=True)
        for i in range(count):
            Image.fromarray(noise(i, side, side, 3)).save(folder / place / f"{i:03d}.{suffix}")
            if "good" not in place:
                mask = np.zeros((side, side), np.uint8)
                mask[8:24, 8:16] = 255
                (folder / "ground_truth" / place[5:]).mkdir(parents=True, exist_ok=True)
                Image.fromarray(mask).save(folder / "ground_truth" / place[5:] / f"{i:03d}_mask.png")
    (folder / "extra").mkdir()
    (folder / "extra" / "000.png").write_bytes(b"not read")
    (folder / "readme.txt").write_text("not read either")
    return folder


def deeppcb(folder: Path) -> Path:
    """Four boards with one tile each: two boxes, one pixel of difference in each and one outside."""
    for board in range(4):
        place = folder / "PCBData" / f"group{board}"
        (place / f"{board}").mkdir(parents=True)
        (place / f"{board}_not").mkdir()
        template = np.full((32, 32), 255, np.uint8)
        test = template.copy()
        test[4:8, 4:8] = test[20:24, 20:24] = test[28:32, 0:4] = 0
        for name, pixels in (("temp", template), ("test", test)):
            picture = Image.fromarray(pixels).convert("RGB" if board == 1 else "L")
            picture.save(place / f"{board}" / f"{board}00_{name}.jpg", quality=100)
        (place / f"{board}_not" / f"{board}00.txt").write_text("3 3 9 9 1\n18 18 26 26 6\n")
    return folder


def pump(folder: Path, count: int = 8, height: int = 40, width: int = 64) -> Path:
    """images/ and masks/ of grey 16-bit TIFFs; every other one has a defect."""
    (folder / "images").mkdir(parents=True)
    (folder / "masks").mkdir()
    for i in range(count):
        pixels = 1000 + noise(i, height, width).astype(np.uint16) * 8
        pixels[0, 0], pixels[0, 1] = (900, 3450) if i == 0 else (1000, 3000)
        Image.fromarray(pixels).save(folder / "images" / f"shot_{i}.tif")
        mask = np.zeros((height, width), np.uint8)
        mask[10:14, 30:34] = 255 * (i % 2)
        Image.fromarray(mask).save(folder / "masks" / f"shot_{i}_mask.png")
    return folder


def dataset(folder: Path, images: int = 12, side: int = 16, channels: int = 3, unlabelled: int = 0) -> Dataset:
    """A dataset of noise; every fourth image is test, the last `unlabelled` have no label, every third an earring."""
    shape = (side, side) if channels == 1 else (side, side, 3)
    with DatasetWriter(
        folder,
        name="noise",
        classes=FACE_CLASSES,
        size=(side, side),
        channels=channels,
        flips="h",
        source={"importer": "noise"},
    ) as writer:
        for i in range(images):
            label = noise(100 + i, side, side) % 10
            label[0, :2] = 10 if i % 3 == 0 else 0
            entry = Entry(f"noise_{i}", "test" if i % 4 == 3 else "train", (f"photograph_{i}",), f"photograph_{i}")
            writer.add(entry, noise(i, *shape), label if i < images - unlabelled else None)
    return Dataset.open(folder)
