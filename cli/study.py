"""`pumpgan study`: whole experiments, from a dataset to a table with a verdict."""

import sys
from collections.abc import Callable
from pathlib import Path

import click

FOLDER = click.Path(file_okay=False, path_type=Path)
KINDS = ("classification", "segmentation")


@click.command()
@click.argument("kind", type=click.Choice(KINDS))
@click.option("--data", required=True, type=FOLDER, help="The dataset; its test photographs judge.")
@click.option("--out", required=True, type=FOLDER, help="The study's folder; the same one again, to go on.")
@click.option("--gan", "gans", multiple=True, metavar="NAME=RUN", help="A run in place of an arm's own GAN.")
@click.option("--added", type=click.IntRange(1), help="Images, or pairs, added.  [default: 2000; segmentation: 500]")
@click.option("--sizes", help="Numbers of them in the second table, with commas.  [default: the source thesis's]")
@click.option("--share", type=click.FloatRange(0, 1, min_open=True), help="Of images with defects, in segmentation.")
@click.option("--repeats", type=click.IntRange(1), default=3, show_default=True, help="Of everything but the GANs.")
@click.option("--fresh-gans", is_flag=True, help="Train GANs anew for each repeat.")
@click.option("--preset", type=click.Choice(["tiny", "full", "thesis"]), default="tiny", show_default=True)
@click.option("--gan-steps", type=click.IntRange(1), help="Of each GAN.  [default: the preset's]")
@click.option("--steps", type=click.IntRange(1), help="Of each classifier or segmenter.  [default: the preset's]")
@click.option("--store", type=FOLDER, help="Where stages are kept, to be shared by studies.  [default: OUT/stages]")
@click.option("--parallel", type=click.IntRange(1), default=1, show_default=True, help="Stages at once.")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)
@click.option("--dry-run", is_flag=True, help="Only say what would be done, how long that takes and how much disk.")
def study(kind, data, out, gans, added, sizes, share, store, parallel, device, dry_run, **effort):
    """Find out whether generated images help: train with and without them, judge on photographs that nothing has seen.

    May be stopped at any moment and called again. What is done is never done twice.

    \b
    pumpgan study classification --data tiles --out studies/tiles --dry-run
    pumpgan study segmentation --data half --share 0.5 --gan ours+ld=runs/steered --out studies/half
    """
    given = dict(pair.partition("=")[::2] for pair in gans)
    if not all(given.values()):
        raise click.UsageError("--gan: must read NAME=RUN")
    if share is not None and kind != "segmentation":
        raise click.UsageError("--share: is of study segmentation")
    about = dict(added=added, sizes=numbers(sizes), share=share)
    from pumpgan.report.study import write_pages
    from pumpgan.studies import schedule
    from pumpgan.studies.classification import classification
    from pumpgan.studies.design import Effort, Study
    from pumpgan.studies.plan import plan, table
    from pumpgan.studies.results import write_results
    from pumpgan.studies.segmentation import segmentation
    from pumpgan.studies.stages import dataset, trained_run
    from pumpgan.studies.store import Store
    from pumpgan.train.loop import Interrupted

    define: Callable[..., Study] = classification if kind == "classification" else segmentation
    runs = {name: trained_run(f"given-{name}", path) for name, path in given.items()}
    stated = {name: value for name, value in about.items() if value is not None}
    found = define(dataset("data", data), Effort(**effort), gans=runs, **stated)
    place = Store(store or out / "stages")
    if dry_run:
        click.echo(table(plan(found.stages, place), parallel))
        return
    try:
        schedule.run(found.stages, place, parallel=parallel, device=device, say=click.echo)
    except Interrupted as stop:
        click.echo(f"{stop}; what is done is kept; the same command goes on")
        sys.exit(128 + stop.signal)
    write_results(found, place, out)
    for text in write_pages(out, f"{kind}, {data}"):
        click.echo(f"\n{text}")
    click.echo(f"\n{out}: tables, figures and plots")


def numbers(text):
    """`500,1000` -> [500, 1000]; None for None."""
    try:
        return [int(size) for size in text.split(",")] if text else None
    except ValueError:
        raise click.UsageError(f"--sizes: must be numbers with commas between, got {text!r}") from None
