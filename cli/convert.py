"""`pumpgan convert`: a run from networks of stylegan2-ada-pytorch."""

from pathlib import Path

import click


@click.command()
@click.argument("pickle", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--out", required=True, type=click.Path(file_okay=False, path_type=Path), help="The run's folder.")
@click.option("--class-names", help="Of a conditional network's classes from 0 on, as cat,dog.  [default: 0,1,...]")
def convert(pickle, out, class_names):
    """Make a run of the networks in PICKLE, a network-snapshot of NVIDIA's stylegan2-ada-pytorch.

    Nothing in the file is executed. Generate from the run, evaluate it, or begin another with its networks.

    \b
    pumpgan convert network-snapshot-005000.pkl --out runs/tiles
    pumpgan generate --run runs/tiles --count 500 --out generated
    pumpgan train --model stylegan2-ada --networks runs/tiles --data tiles/
    """
    from pumpgan.train.nvidia_networks import convert as convert_networks

    record = convert_networks(pickle, out, class_names=class_names)
    size = f"{record.size[1]}x{record.size[0]}, {record.channels} channel{'s' if record.channels > 1 else ''}"
    under = f", image labels {', '.join(record.conditions)}" if record.conditions else ""
    click.echo(f"{out}: a run of {record.model}, {size}{under}, at step 0 of ours")
