"""`pumpgan generate`: a dataset of generated images, with labels where the run draws them."""

from pathlib import Path

import click

from pumpgan.cli.options import Checkpoint, config_options
from pumpgan.inference.wanted import Wanted
from pumpgan.train.config import flag

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
@config_options({"generate": (Wanted, {})})
@click.option(
    "--checkpoint", type=Checkpoint(), help="A step of the run, or best by its metric.  [default: the newest]"
)
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)
def generate(run, count, out, seed, start, truncation, image_label, checkpoint, device, stated):
    """Write a dataset of generated images, with their pixel labels where the run draws them.

    What is not good enough can be left out; samples.jsonl in the dataset tells of every sample drawn why.

    \b
    pumpgan generate --run runs/faces --count 500 --out earrings --with-class earring
    pumpgan generate --run runs/faces --count 500 --out good --realism 0.7 --novelty 0.6
    pumpgan generate --run runs/parts --count 500 --out agreed --segmenter runs/segmenter --agreement 0.5
    """
    try:
        wanted = Wanted(**stated)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    from pumpgan.cli.device import chosen_device
    from pumpgan.cli.progress import progress
    from pumpgan.inference.generate import generate as write

    with progress() as advance:
        tally = write(
            run,
            out,
            count,
            wanted=wanted,
            seed=seed,
            start=start,
            truncation=truncation,
            image_label=image_label,
            checkpoint=checkpoint,
            device=chosen_device(device),
            advance=advance,
        )
    rejected = "".join(f", {n} rejected by {flag(name)}" for name, n in tally.rejected.most_common())
    several = " (some by several)" if sum(tally.rejected.values()) > tally.drawn - tally.kept else ""
    click.echo(f"{out}: {tally.kept} images, from {tally.drawn} drawn{rejected}{several}")
