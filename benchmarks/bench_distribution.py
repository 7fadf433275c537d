"""Distribution losses side by side: one warm start without any, then as many branches as there are variants.

A variant is a text of configuration fields. Each branch goes on from the warm start's last checkpoint with its own
distribution loss, which begins at once, and is then measured against the warm start's training labels. A branch that
stands finished in the folder is only measured again. Prints a table; docs/distribution-loss.md holds one.

    pumpgan train --kimg 60 --out runs/warm
    python benchmarks/bench_distribution.py --warm runs/warm --out runs/kinds \\
        "dist_loss=earring" "dist_loss=earring dist_kind=energy dist_balance=4"
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import torch

from pumpgan.inference.evaluate import evaluate
from pumpgan.ops import implementation
from pumpgan.train.checkpoint import FILES, latest
from pumpgan.train.config import SemganConfig
from pumpgan.train.gan_job import GanJob
from pumpgan.train.loop import Goal
from pumpgan.train.record import RunRecord
from pumpgan.train.run import held, proceed

FOLDER = click.Path(file_okay=False, path_type=Path)
COLUMNS = {
    "images %": "presence_percent",
    "pixels %": "pixels_percent",
    "area px": "area_pixels",
    "pieces": "components",
}


def with_fields(config: SemganConfig, variant: str) -> SemganConfig:
    """The configuration with the fields of `variant`, "name=value name=value"."""
    values = dict(part.split("=", 1) for part in variant.split())
    return replace(config, **{name: type(getattr(config, name))(value) for name, value in values.items()})


def branch(warm: Path, out: Path, variant: str, images: int) -> None:
    """Trains `images` more from the warm start's last checkpoint into `out`."""
    record, checkpoint = RunRecord.read(warm), latest(warm)
    if checkpoint is None:
        raise click.UsageError(f"--warm: {warm} has no checkpoint")
    implementation.use(record.ops)
    config = with_fields(replace(record.config, dist_start="0"), variant)
    goal = Goal(steps=checkpoint.step + images // config.batch)
    record = replace(record, config=config, goal=goal)
    job = GanJob(record.data, record.unlabelled, config)
    job.settle(config, torch.device(record.device))
    gan = job.build(record, torch.device(record.device))
    networks, rest = (checkpoint.tensors(name) for name in FILES)
    rest |= {f"control.{name}": value for name, value in gan.control.state.items()}  # nothing remembered
    gan.load_tensors(networks, rest, checkpoint.step)
    out.mkdir(parents=True)
    with held(out):
        record.write(out)
        proceed(record, job, gan, out, seconds=0.0, say=click.echo, quiet=True)


def row(name: str, side: str, figures: dict[str, Any]) -> str:
    cells = [figures[side][key] for key in COLUMNS.values()]
    distance = 100 * figures["wasserstein"] if side == "generated" else 0.0
    shown = " | ".join("" if cell is None else f"{cell:.3g}" for cell in (*cells, distance))
    return f"| {name} | {shown} |"


@click.command()
@click.argument("variants", nargs=-1, required=True)
@click.option("--warm", required=True, type=FOLDER, help="A run trained without --dist-loss.")
@click.option("--out", required=True, type=FOLDER, help="A folder of branches.")
@click.option("--kimg", default=15.0, show_default=True, help="Thousand images of a branch.")
@click.option("--count", default=4000, show_default=True, help="Generated labels that are measured.")
@click.option("--class", "names", multiple=True, default=["earring"], show_default=True, help="Classes of the table.")
def main(variants, warm, out, kimg, count, names):
    data = Path(RunRecord.read(warm).data[0])
    for name in names:
        click.echo(f"{name}: variant | {' | '.join(COLUMNS)} | W1 x 100")
    for index, variant in enumerate(variants):
        run = out / "_".join(variant.replace("dist_", "").split())
        last = latest(run)
        if last is None or not last.state.get("finished"):
            branch(warm, run, variant, round(1000 * kimg))
        result = evaluate(run, data, metric="labels", count=count)
        for name in names:
            figures = result["classes"][name]
            if not index:
                click.echo(row(f"{name}: real", "real", figures))
            click.echo(row(f"{name}: {variant}", "generated", figures))


if __name__ == "__main__":
    main()
