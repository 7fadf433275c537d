"""`pumpgan evaluate`: what a run draws, measured against a dataset."""

import json
from pathlib import Path

import click

FOLDER = click.Path(file_okay=False, path_type=Path)


@click.command()
@click.option("--run", required=True, type=FOLDER, help="A trained run's folder.")
@click.option("--data", required=True, type=FOLDER, help="The dataset to compare with.")
@click.option(
    "--split", type=click.Choice(["train", "test"]), default="train", show_default=True, help="Which of its images."
)
@click.option(
    "--count", type=click.IntRange(2), help="Generated images.  [default: on a CPU as many as real ones; else 10,000]"
)
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="Names the sequence of samples.")
@click.option("--checkpoint", type=click.IntRange(0), help="A step of the run.  [default: the newest]")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
def evaluate(run, data, split, count, seed, checkpoint, device, as_json):
    """Compare the labels a run draws with those of a dataset, class by class.

    The figures are also appended to the run's evaluations.jsonl.

    \b
    pumpgan evaluate --run runs/faces --data faces
    """
    from pumpgan.cli.device import chosen_device
    from pumpgan.inference.evaluate import evaluate_labels
    from pumpgan.metrics.labels import table

    place = chosen_device(device)
    result = evaluate_labels(run, data, split=split, count=count, seed=seed, checkpoint=checkpoint, device=place)
    if as_json:
        click.echo(json.dumps(result, indent=1))
        return
    height, width = result["size"]
    click.echo(
        f"{run} at step {result['checkpoint']} ({result['images_seen']} images): {result['generated_images']} "
        f"generated labels against {result['real_images']} real ones ({split}) at {width}x{height} px"
    )
    click.echo(table(result))
