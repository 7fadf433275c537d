"""`pumpgan data`: make datasets from other people's folders, and look at them."""

import json
from pathlib import Path

import click
import numpy as np

from pumpgan.cli.options import config_options
from pumpgan.data.check import check as faults_of
from pumpgan.data.dataset import Dataset
from pumpgan.data.importers import IMPORTERS, ImportOptions, import_dataset, layout_of
from pumpgan.data.select import select as select_images

FOLDER = click.Path(path_type=Path)


@click.group()
def data():
    """Import, check, show and select datasets."""


class WithLayouts(click.Command):
    """Its help ends with what the folder of each source must look like."""

    def format_epilog(self, context, formatter):
        with formatter.section("Sources"):
            formatter.write_dl([(source, " ".join(layout_of(source).split())) for source in IMPORTERS])


@data.command(name="import", cls=WithLayouts)
@click.argument("source", type=click.Choice(list(IMPORTERS)))
@click.option(
    "--from", "folder", type=FOLDER, help="The folder, or nvidia-zip's file, to read; synthetic sources read nothing."
)
@click.option("--out", required=True, type=FOLDER, help="The dataset's folder; absent or empty.")
@click.option("--photographs", type=FOLDER, help="Synthetic sources: also write full photographs and masks there.")
@config_options({"import": (ImportOptions, {})})
def import_(source: str, folder: Path | None, out: Path, photographs: Path | None, stated: dict):
    """Make a dataset from a folder that has the layout of SOURCE, or from nothing.

    \b
    pumpgan data import magnetic-tile --from Magnetic-tile-defect-datasets/ --out data/tiles
    pumpgan data import synthetic-face --count 2000 --resolution 64 --out data/faces
    pumpgan data import synthetic-pump --count 200 --out data/pumps --photographs data/pump-photographs
    """
    summarise(import_dataset(source, out, folder, photographs, **stated))
    if source == "label-maps" and "class_names" not in stated:
        click.echo("  ids were read as CelebAMask-HQ's; --class-names names ids of your own")


@data.command()
@click.argument("dataset", type=FOLDER)
def check(dataset: Path):
    """Read every file of DATASET and name each fault; exit 1 if there is one."""
    faults = faults_of(dataset)
    for fault in faults:
        click.echo(fault)
    if faults:
        raise click.ClickException(f"{dataset}: {len(faults)} fault{'s' if len(faults) > 1 else ''}")
    summarise(Dataset.open(dataset))


@data.command()
@click.argument("dataset", type=FOLDER)
@click.option("--out", type=FOLDER, help="The PNG file to write.  [default: DATASET.png beside the dataset]")
@click.option("--count", default=16, show_default=True, type=click.IntRange(1), help="How many images to show.")
@click.option("--split", default="train", show_default=True, type=click.Choice(["train", "test"]))
@click.option("--with-class", help="Only images with a pixel of this class.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="Seed of the choice of images.")
def show(dataset: Path, out: Path | None, count: int, split: str, with_class: str | None, seed: int):
    """Draw a sheet of images, their labels in colour, and both together."""
    from pumpgan.data.picture import sample_sheet, save_png

    opened = Dataset.open(dataset)
    if out is None:
        folder = dataset.resolve()  # `.` has no name
        out = folder.with_name(f"{folder.name}.png")
    if out.exists():
        raise FileExistsError(f"{out}: is there already; remove it first, or choose another name with --out")
    wanted = None if with_class is None else opened.class_id(with_class)
    entries = opened.split(split)
    images, labels = [], []
    for i in np.random.Generator(np.random.PCG64([seed])).permutation(len(entries)):
        label = opened.label(entries[i])
        if wanted is not None and (label is None or not (label == wanted).any()):
            continue
        image = opened.image(entries[i])
        images.append(image[None] if image.ndim == 2 else image.transpose(2, 0, 1))
        labels.append(np.zeros(opened.size, np.uint8) if label is None else label)
        if len(images) == count:
            break
    if not images:
        raise ValueError(f"{dataset}: no {split} image{f' with {with_class}' if with_class else ''} to show")
    sheet = sample_sheet([(f"{opened.name}, {split}", np.stack(images), np.stack(labels))], opened.classes)
    save_png(sheet, out)
    click.echo(f"{out}: {len(images)} images")


@data.command()
@click.argument("dataset", type=FOLDER)
@click.option("--split", default="all", show_default=True, type=click.Choice(["all", "train", "test"]))
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def stats(dataset: Path, split: str, as_json: bool):
    """How often each class is in an image, and how much of its pixels."""
    from pumpgan.metrics.labels import LabelStatistics, statistics_table

    opened = Dataset.open(dataset)
    statistics = LabelStatistics(opened.classes)
    unlabelled = 0
    for entry in opened.entries if split == "all" else opened.split(split):
        label = opened.label(entry)
        if label is None:
            unlabelled += 1
        else:
            statistics.update(label[None])
    if statistics.size is None:
        raise ValueError(f"{dataset}: holds no labelled image{'' if split == 'all' else f' in {split}'}")
    result = {"dataset": str(dataset), "split": split, "unlabelled": unlabelled, **statistics.result()}
    click.echo(json.dumps(result, indent=1, allow_nan=False) if as_json else statistics_table(result))


@data.command()
@click.argument("dataset", type=FOLDER)
@click.option("--out", required=True, type=FOLDER, help="The new dataset's folder; absent or empty.")
@click.option("--with-class", help="Only images with a pixel of this class.")
@click.option("--share", type=float, help="This share of the images has the class, the rest has none of it.")
@click.option("--count", type=int, help="At most this many training images.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="Seed of the choice of images.")
def select(dataset: Path, out: Path, with_class: str | None, share: float | None, count: int | None, seed: int):
    """Make a dataset of some of DATASET's images: those with a class, or a given share of them.

    \b
    pumpgan data select data/tiles --with-class defect --out data/defects
    pumpgan data select data/tiles --with-class defect --share 0.5 --out data/half
    """
    chosen = select_images(Dataset.open(dataset), out, with_class=with_class, share=share, count=count, seed=seed)
    summarise(chosen)


@data.command()
@click.argument("dataset", type=FOLDER)
@click.option("--format", "layout", required=True, type=click.Choice(["mvtec", "coco", "masks", "webdataset"]))
@click.option("--out", required=True, type=FOLDER, help="The folder to write; absent or empty.")
def export(dataset: Path, layout: str, out: Path):
    """Write DATASET in a layout that other tools read.

    mvtec has no place for defects in train: all of them go to its test.
    """
    from pumpgan.data.export import export as export_dataset

    opened = Dataset.open(dataset)
    counts = export_dataset(opened, out, layout)
    left = len(opened.entries) - sum(counts.values())
    without = f"; {left} left out, whose defects no labelled pixel shows" if left else ""
    click.echo(f"{out}: {layout}, {', '.join(f'{count} {split}' for split, count in counts.items())} images{without}")


def summarise(dataset: Dataset):
    """A line a split: how many images, how many of them labelled, and what they show."""
    height, width = dataset.size
    click.echo(f"{dataset.path}: {dataset.name}, {width}x{height}, {dataset.channels} channels")
    for split, counts in dataset.statistics.items():
        shown = ", ".join(f"{name} in {count}" for name, count in counts["images_with"].items())
        click.echo(f"  {split}: {counts['images']} images, {counts['labelled']} labelled; {shown}")
