"""A whole SemanticGAN iteration: the kernels against plain torch, everything else the same.

One iteration is all phases on one batch, regularisers in their turn; both contenders start from the same weights and
take turns a cycle of `r1_every` iterations at a time, under the same allocator settings.

    python benchmarks/bench_semgan.py --resolution 64
"""

from dataclasses import replace
from statistics import median

import click
import torch
from racing import options, race, ratio, save

from pumpgan.losses.distribution import ShareTarget
from pumpgan.models.discriminators import signed_one_hot
from pumpgan.ops import implementation
from pumpgan.train.allocator import keep_freed_memory
from pumpgan.train.config import SEMGAN_PRESETS, semgan_config
from pumpgan.train.distribution import ShareControl
from pumpgan.train.precision import DTYPES, resolve
from pumpgan.train.semgan import Semgan, Step, take_step

CLASSES = 11


class Contender:
    """A run whose steps all use one implementation of the operators."""

    def __init__(self, ops: str, config, device: torch.device):
        self.ops = ops
        labels = torch.randint(0, CLASSES, (64, config.resolution, config.resolution))
        names = [f"class {c}" for c in range(CLASSES)]
        control = ShareControl(config, ShareTarget.of(labels, CLASSES), names, device)
        self.gan = Semgan(config, 3, control, device, DTYPES[config.precision])
        shape = (config.batch, 3, config.resolution, config.resolution)
        self.real = [torch.rand(shape, device=device) * 2 - 1 for _ in range(2)]
        self.labels = signed_one_hot(labels[: config.batch].to(device), CLASSES)

    def cycle(self) -> None:
        implementation.use(self.ops)
        for _ in range(self.gan.config.r1_every):
            take_step(self.gan, Step(*self.real, self.labels))


@click.command()
@click.option("--resolution", default=64, show_default=True)
@click.option("--preset", type=click.Choice(list(SEMGAN_PRESETS)), default="tiny", show_default=True)
@click.option("--batch", default=16, show_default=True)
@click.option("--precision", multiple=True, type=click.Choice(["fp32", "bf16"]), help="May be repeated. Default: auto.")
@click.option("--dist-loss", default="class 10", show_default=True, help="Empty leaves the distribution loss out.")
@options
def main(resolution, preset, batch, precision, dist_loss, device, rounds, compiled, against, path):
    if compiled or against:
        raise click.UsageError(
            "a whole iteration has no single function to race; --compile and --against are for operators"
        )
    keep_freed_memory()
    place = torch.device(device)
    rows = []
    for chosen in precision or [resolve("auto", place)]:
        stated = dict(resolution=resolution, batch=batch, dist_loss=dist_loss, dist_start="0")
        config = replace(semgan_config(preset, stated), precision=chosen)
        contenders = {ops: Contender(ops, config, place) for ops in ("native", "reference")}
        times = race({ops: c.cycle for ops, c in contenders.items()}, device, warmup=1, rounds=rounds)
        gain = ratio(times, "reference", "native")
        row = {"preset": preset, "resolution": resolution, "batch": batch, "precision": chosen, "speedup": gain}
        for ops in contenders:
            row[f"{ops}_ms"] = median(times[ops]) / config.r1_every
            row[f"{ops}_images_per_second"] = 1000 * batch / row[f"{ops}_ms"]
        rows.append(row)
        ours, theirs = row["native_ms"], row["reference_ms"]
        click.echo(
            f"{preset} {resolution} px batch {batch} {chosen}: native {ours:.1f} ms an iteration "
            f"({1000 * batch / ours:.0f} images/s), reference {theirs:.1f} ms; {gain:.2f} times as fast"
        )
    save(path, rows, device)


if __name__ == "__main__":
    main()
