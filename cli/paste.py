"""`pumpgan paste`: a dataset of real defects on other photographs of the same part."""

from pathlib import Path

import click

from pumpgan.augment.blending import BLENDS
from pumpgan.augment.pasting import ALIGNMENTS, MAX_BRIGHTNESS, example_sheet, paste_defects
from pumpgan.data.dataset import Dataset
from pumpgan.data.picture import save_png

FOLDER = click.Path(path_type=Path)


@click.command()
@click.argument("dataset", type=FOLDER)
@click.option("--out", required=True, type=FOLDER, help="The new dataset's folder; absent or empty.")
@click.option("--copies", default=4, show_default=True, type=click.IntRange(1), help="Destinations of each defect.")
@click.option(
    "--align",
    type=click.Choice(ALIGNMENTS),
    help="Keep a defect's place on the part, or between the photograph's edges.  [default: part where known]",
)
@click.option(
    "--max-brightness",
    default=MAX_BRIGHTNESS,
    show_default=True,
    type=click.FloatRange(0),
    help="Grey levels that the mean of donor and destination may differ by.",
)
@click.option(
    "--blend",
    default="feather",
    show_default=True,
    type=click.Choice(list(BLENDS)),
    help="How a defect's edge meets the ground: a soft edge; gradients alone, for large faint defects; or cut out.",
)
@click.option("--kinds", help="Kinds of defects, with commas.  [default: all that do not cover the whole part]")
@click.option("--photographs", type=FOLDER, help="The photographs' folder.  [default: where they were imported from]")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="Seed of the destinations.")
@click.option("--grid", type=FOLDER, help="A PNG file to write: donor, destination and result side by side.")
def paste(dataset, out, copies, align, max_brightness, blend, kinds, photographs, seed, grid):
    """Paste the defects of DATASET's training images onto its other training photographs.

    \b
    pumpgan paste data/parts --out data/pasted --grid pasted.png
    pumpgan train --model semgan --data data/defects --unlabelled data/pasted
    """
    if grid is not None and grid.exists():
        raise FileExistsError(f"{grid}: is there already; remove it first, or choose another name with --grid")
    opened = Dataset.open(dataset)
    pasted = paste_defects(
        opened,
        out,
        copies=copies,
        align=align,
        max_brightness=max_brightness,
        blending=blend,
        kinds=None if kinds is None else [kind.strip() for kind in kinds.split(",")],
        photographs=photographs,
        seed=seed,
    )
    on_part = pasted.dataset.source["options"]["align"] == "part"
    where = "where they were on the part" if on_part else "where they were between the photograph's edges"
    click.echo(
        f"{out}: {len(pasted.dataset.entries)} images pasted from {pasted.donors} donors, {where}"
        + (f"; {pasted.short} donors had fewer than {copies} destinations" if pasted.short else "")
    )
    if grid is not None:
        save_png(example_sheet(opened, pasted.examples), grid)
        click.echo(f"{grid}: {len(pasted.examples)} of them")
