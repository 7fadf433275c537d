"""`pumpgan generate`: a dataset of generated images, with labels where the run draws them."""

from pathlib import Path

import click

from pumpgan.cli.options import Checkpoint

FOLDER = click.Path(file_okay=False, path_type=Path)


@click.command()
@click.option("--run", required=True, type=FOLDER, help="A trained run's folder.")
@click.option("--count", required=True, type=click.IntRange(1), help="Images to write.")
@click.option("--out", required=True, type=FOLDER, help="The dataset's folder, absent or empty.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="Names the sequence of samples.")
@click.option(
    "--start",
    default=0,
    show_default=True,
    type=click.IntRange(0),
    help="Number in the sequence of the first sample to draw; samples.jsonl of a set has each one's.",
)
@click.option(
    "--truncation", default=1.0, show_default=True, type=click.FloatRange(0, 1), help="Psi: below 1 less varied."
)
@click.option("--image-label", help="What to set as every image's label, and what a conditional run is asked to draw.")
@click.option("--with-class", help="Keep only images whose labels hold this class.")
@click.option(
    "--min-fraction",
    default=0.0,
    show_default=True,
    type=click.FloatRange(0, 1),
    help="In more than this part of the pixels.",
)
@click.option(
    "--realism",
    metavar="SHARE",
    type=click.FloatRange(0, 1, min_open=True),
    help="Keep only this share of the samples: those that the run's image discriminator finds most real.",
)
@click.option(
    "--novelty",
    metavar="RATIO",
    type=click.FloatRange(0),
    help="Keep only images at least this far from the nearest training image, in terms of that one's distance to the "
    "nearest that shows something else.",
)
@click.option(
    "--data",
    multiple=True,
    type=FOLDER,
    help="Of --novelty: what counts as the training images; may be repeated.  [default: what the run was trained on]",
)
@click.option(
    "--inception",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Of --novelty: file of an Inception network whose features are compared.  [default: those of a stand-in]",
)
@click.option(
    "--checkpoint", type=Checkpoint(), help="A step of the run, or best by its metric.  [default: the newest]"
)
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)
def generate(run, count, out, seed, start, truncation, image_label, checkpoint, device, **wanted):
    """Write a dataset of generated images, with their pixel labels where the run draws them.

    What is not good enough can be left out; samples.jsonl in the dataset tells of every sample drawn why.

    \b
    pumpgan generate --run runs/faces --count 500 --out earrings --with-class earring
    pumpgan generate --run runs/faces --count 500 --out good --realism 0.7 --novelty 0.5
    """
    for option, of in (("min_fraction", "with_class"), ("data", "novelty"), ("inception", "novelty")):
        if wanted[option] and wanted[of] is None:
            raise click.UsageError(f"--{option.replace('_', '-')}: needs --{of.replace('_', '-')}")
    from pumpgan.cli.device import chosen_device
    from pumpgan.cli.progress import progress
    from pumpgan.inference.filters import Wanted
    from pumpgan.inference.generate import generate as write

    with progress() as advance:
        tally = write(
            run,
            out,
            count,
            wanted=Wanted(**wanted),
            seed=seed,
            start=start,
            truncation=truncation,
            image_label=image_label,
            checkpoint=checkpoint,
            device=chosen_device(device),
            advance=advance,
        )
    rejected = "".join(f", {n} rejected by --{name.replace('_', '-')}" for name, n in tally.rejected.most_common())
    several = " (some by several)" if sum(tally.rejected.values()) > tally.drawn - tally.kept else ""
    click.echo(f"{out}: {tally.kept} images, from {tally.drawn} drawn{rejected}{several}")
