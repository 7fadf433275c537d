"""`pumpgan segment`: labels of a user's own photographs."""

import json
from pathlib import Path

import click

FOLDER = click.Path(file_okay=False, path_type=Path)


@click.command()
@click.option("--run", required=True, type=FOLDER, help="The folder of a segmenter's or an encoder's run.")
@click.argument("images", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--out", required=True, type=FOLDER, help="Where to write, absent or empty.")
@click.option(
    "--tile",
    type=click.IntRange(0),
    metavar="PIXELS",
    help="Cut photographs into overlapping squares of this side; 0: take them whole.  [default: as those were that the "
    "run learnt from]",
)
@click.option(
    "--levels",
    nargs=2,
    type=int,
    metavar="DARKEST BRIGHTEST",
    help="Of 16-bit photographs: what becomes black and white.  [default: the darkest and brightest value given]",
)
@click.option(
    "--refine",
    type=click.IntRange(0),
    metavar="STEPS",
    help="Of an encoder's run: steps towards the photograph in its generator's latents; 0: none.  [default: 100 with "
    "LPIPS or --start mean, else 0]",
)
@click.option("--start", type=click.Choice(["encoder", "mean"]), help="Where these begin.  [default: encoder]")
@click.option(
    "--perceptual", metavar="PATH|none", help="File of VGG-16's weights, for LPIPS in them.  [default: the run's]"
)
@click.option(
    "--checkpoint", type=click.IntRange(0), help="The best network up to this step.  [default: up to the newest]"
)
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
def segment(run, images, out, tile, levels, checkpoint, device, as_json, **redrawing):
    """Find the classes of every pixel of your own photographs: files, or all images that lie in a folder.

    Writes labels/ (class ids), overlays/ (to look at), confidence/ (0 to 255) and summary.jsonl; by an encoder's run,
    which redraws what it sees, also reconstructions/.

    \b
    pumpgan segment --run runs/segmenter photographs/ --out found
    pumpgan segment --run runs/segmenter part_17.tif part_18.tif --tile 256 --out found
    """
    from pumpgan.cli.device import chosen_device
    from pumpgan.cli.progress import progress
    from pumpgan.inference.segment import pixel_model, table
    from pumpgan.inference.segment import segment as find

    model = pixel_model(run, checkpoint=checkpoint, device=chosen_device(device), **redrawing)
    with progress() as advance:
        lines = find(
            model,
            images,
            out,
            tile=tile,
            levels=levels,
            say=lambda line: click.echo(line, err=True),
            advance=advance,
        )
    if as_json:
        result = {"run": str(run), "checkpoint": model.step, "out": str(out), "photographs": lines}
        click.echo(json.dumps(result, indent=1))
        return
    click.echo(f"{out}: {table(lines)}")
