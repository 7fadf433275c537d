"""`pumpgan evaluate`: what a GAN draws against a dataset; what a classifier or segmenter says of one it never saw."""

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
    help="Of a GAN: what to compare; all: whatever the run draws.  [default: all]",
)
@click.option(
    "--inception",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File of an Inception network, for FID; without one a stand-in measures images.",
)
@click.option(
    "--split",
    type=click.Choice(["train", "test"]),
    help="Which of its images.  [default: train for a GAN, test for a downstream model]",
)
@click.option(
    "--count",
    type=click.IntRange(2),
    help="Generated images.  [default: on a CPU as many as real ones; else 10,000, with StyleGAN2's Inception 50,000]",
)
@click.option("--seed", type=click.IntRange(0), help="Names the sequence of generated samples.  [default: 0]")
@click.option(
    "--checkpoint", type=Checkpoint(), help="A step of the run, or best by its metric.  [default: the newest]"
)
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
def evaluate(run, data, metric, inception, split, count, seed, checkpoint, device, as_json):
    """Compare what a GAN draws with a dataset, its images by distances, its labels class by class; or score what a
    classifier or a segmenter says of a dataset's test photographs.

    The figures are also appended to the run's evaluations.jsonl. Of a downstream model, evaluations/ in the run's
    folder gets a line for each image, and pictures.

    \b
    pumpgan evaluate --run runs/faces --data faces
    pumpgan evaluate --run runs/faces --data faces --metric images --inception inception-2015-12-05.pt
    pumpgan evaluate --run runs/classifier --data tiles
    """
    if inception and metric == "labels":
        raise click.UsageError("--inception: measures images; it has no effect with --metric labels")
    from pumpgan.cli.device import chosen_device
    from pumpgan.cli.progress import progress
    from pumpgan.train.presets import MODELS
    from pumpgan.train.record import RunRecord

    model, place = RunRecord.read(run).model, chosen_device(device)
    draws = MODELS[model].draws
    given = dict(metric=metric, inception=inception, count=count, seed=seed)
    useless = [f"--{name}" for name, value in given.items() if value is not None]
    if useless and not draws:
        raise click.UsageError(f"{useless[0]}: measures what a GAN draws; {run} is a run of {model}")
    if checkpoint == "best" and not draws:
        checkpoint = None  # which is the best network anyway
    with progress() as advance:
        common = dict(checkpoint=checkpoint, device=place, advance=advance)
        result = (of_gan if draws else of_downstream)(run, data, split, given, common)
    if as_json:
        click.echo(json.dumps(result, indent=1))
    elif draws:
        show_gan(run, data, result)
    else:
        show_downstream(run, data, result)


def of_gan(run, data, split, given, common):
    from pumpgan.inference.evaluate import evaluate as compare

    given |= dict(metric=given["metric"] or "all", seed=given["seed"] or 0, split=split or "train")
    return compare(run, data, **given, **common)


def of_downstream(run, data, split, given, common):
    from pumpgan.inference.judge import judge
    from pumpgan.report import evaluation

    result = judge(run, data, split=split or "test", **common)
    evaluation.draw(Path(result["folder"]))
    return result


def show_gan(run, data, result):
    from pumpgan.metrics import images, labels

    height, width = result["size"]
    click.echo(
        f"{run} at step {result['checkpoint']} ({result['images_seen']} images seen) against {data} "
        f"({result['split']}) at {width}x{height} px"
    )
    if "image_metrics" in result:
        click.echo(images.table(result["image_metrics"]))
    if "classes" in result:
        click.echo(labels.table(result))


def show_downstream(run, data, result):
    from pumpgan.report import evaluation

    scores = result["scores"]
    click.echo(
        f"{run}, best at step {result['checkpoint']}, on {scores['images']} images of {result['photographs']} "
        f"photographs of {data} ({result['split']})"
    )
    click.echo(evaluation.table(result))
    click.echo(f"image by image, and as pictures: {result['folder']}")
