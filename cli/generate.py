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
    "--truncation", default=1.0, show_default=True, type=click.FloatRange(0, 1), help="Psi: below 1 less varied."
)
@click.option("--with-class", help="Keep only images whose labels hold this class.")
@click.option(
    "--min-fraction",
    default=0.0,
    show_default=True,
    type=click.FloatRange(0, 1),
    help="In more than this part of the pixels.",
)
@click.option("--image-label", help="What to set as every image's label, and what a conditional run is asked to draw.")
@click.option(
    "--checkpoint", type=Checkpoint(), help="A step of the run, or best by its metric.  [default: the newest]"
)
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)
def generate(run, count, out, seed, truncation, with_class, min_fraction, image_label, checkpoint, device):
    """Write a dataset of generated images, with their pixel labels where the run draws them.

    \b
    pumpgan generate --run runs/faces --count 500 --out earrings --with-class earring
    """
    if min_fraction and not with_class:
        raise click.UsageError("--min-fraction: needs --with-class")
    from tqdm import tqdm

    from pumpgan.cli.device import chosen_device
    from pumpgan.inference.generate import generate as write

    with tqdm(total=count, unit="image", dynamic_ncols=True, delay=1) as bar:
        drawn = write(
            run,
            out,
            count,
            seed=seed,
            truncation=truncation,
            with_class=with_class,
            min_fraction=min_fraction,
            image_label=image_label,
            checkpoint=checkpoint,
            device=chosen_device(device),
            advance=bar.update,
        )
    click.echo(f"{out}: {count} images, from {drawn} drawn")
