"""`pumpgan evaluate`: what a run draws, measured against a dataset."""

import json
from pathlib import Path

import click

from pumpgan.cli.options import Checkpoint

FOLDER = click.Path(file_okay=False, path_type=Path)


@click.command()
@click.option("--run", required=True, type=FOLDER, help="A trained run's folder.")
@click.option("--data", required=True, type=FOLDER, help="The dataset to compare with.")
@click.option(
    "--metric",
    type=click.Choice(["all", "images", "labels"]),
    default="all",
    show_default=True,
    help="What to compare; all: whatever the run draws.",
)
@click.option(
    "--inception",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File of an Inception network, for FID; without one a stand-in measures images.",
)
@click.option(
    "--split", type=click.Choice(["train", "test"]), default="train", show_default=True, help="Which of its images."
)
@click.option(
    "--count",
    type=click.IntRange(2),
    help="Generated images.  [default: on a CPU as many as real ones; else 10,000, with StyleGAN2's Inception 50,000]",
)
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="Names the sequence of samples.")
@click.option(
    "--checkpoint", type=Checkpoint(), help="A step of the run, or best by its metric.  [default: the newest]"
)
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
def evaluate(run, data, metric, inception, split, count, seed, checkpoint, device, as_json):
    """Compare what a run draws with a dataset: its images by distances, its labels class by class.

    The figures are also appended to the run's evaluations.jsonl.

    \b
    pumpgan evaluate --run runs/faces --data faces
    pumpgan evaluate --run runs/faces --data faces --metric images --inception inception-2015-12-05.pt
    """
    if inception and metric == "labels":
        raise click.UsageError("--inception: measures images; it has no effect with --metric labels")
    from pumpgan.cli.device import chosen_device
    from pumpgan.cli.progress import progress
    from pumpgan.inference.evaluate import evaluate as compare
    from pumpgan.metrics import images, labels

    with progress() as advance:
        result = compare(
            run,
            data,
            metric=metric,
            inception=inception,
            split=split,
            count=count,
            seed=seed,
            checkpoint=checkpoint,
            device=chosen_device(device),
            advance=advance,
        )
    if as_json:
        click.echo(json.dumps(result, indent=1))
        return
    height, width = result["size"]
    click.echo(
        f"{run} at step {result['checkpoint']} ({result['images_seen']} images seen) against {data} ({split}) "
        f"at {width}x{height} px"
    )
    if "image_metrics" in result:
        click.echo(images.table(result["image_metrics"]))
    if "classes" in result:
        click.echo(labels.table(result))
