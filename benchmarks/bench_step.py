"""A whole SemanticGAN iteration: images a second against plain torch, and where the time goes.

One iteration is all phases on one batch, regularisers in their turn. Contenders start from the same weights and take
turns a cycle of `r1_every` iterations at a time, under the same allocator settings; `--main` leaves the regularisers
out, as torch.compile must, whose gradients have none. `floor` is the time of the cycle's convolutions and products
alone, at the speed at which this machine multiplies large matrices in the same precision in the same run.

    python benchmarks/bench_step.py --resolution 64 --precision fp32 --precision bf16
    python benchmarks/bench_step.py --main --compile
    python benchmarks/bench_step.py --against peer=package.module:build     # build(config, device) -> one iteration
"""

import contextlib
import resource
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from statistics import median

import click
import torch
from racing import milliseconds, options, race, ratio, save
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from pumpgan.losses.distribution import ShareTarget
from pumpgan.models.discriminators import signed_one_hot
from pumpgan.ops import implementation
from pumpgan.train.allocator import keep_freed_memory
from pumpgan.train.config import SEMGAN_PRESETS, SemganConfig, semgan_config
from pumpgan.train.distribution import ShareControl
from pumpgan.train.precision import DTYPES, resolve
from pumpgan.train.semgan import PHASES, Semgan, Step, take_step

CLASSES = 11
NO_REGULARISERS = dict(r1_gamma=0.0, label_gamma=0.0, path_length_weight=0.0)


class Contender:
    """A run whose steps all use one implementation of the operators."""

    def __init__(self, ops: str, config: SemganConfig, device: torch.device, *, compiled: bool = False):
        self.ops = ops
        labels = torch.randint(0, CLASSES, (64, config.resolution, config.resolution))
        names = [f"class {c}" for c in range(CLASSES)]
        control = ShareControl(config, ShareTarget.of(labels, CLASSES), names, device)
        self.gan = Semgan(config, 3, control, device, DTYPES[config.precision])
        if compiled:
            for network in (self.gan.generator, self.gan.image_discriminator, self.gan.label_discriminator):
                network.compile()
        shape = (config.batch, 3, config.resolution, config.resolution)
        self.real = [torch.rand(shape, device=device) * 2 - 1 for _ in range(2)]
        self.labels = signed_one_hot(labels[: config.batch].to(device), CLASSES)

    def cycle(self) -> None:
        implementation.use(self.ops)
        for _ in range(self.gan.config.r1_every):
            take_step(self.gan, Step(*self.real, self.labels))

    def phases(self, device: str) -> dict[str, float]:
        """Milliseconds of each phase, a cycle's sum divided by its iterations; an NVTX range each on CUDA."""
        implementation.use(self.ops)
        spent: Counter = Counter()
        iterations = self.gan.config.r1_every
        for _ in range(iterations):
            step = Step(*self.real, self.labels)
            for phase, every in PHASES:
                if self.gan.step % every(self.gan.config) == 0:
                    name = phase.__name__.removesuffix("_phase")
                    marked = torch.cuda.nvtx.range(name) if device == "cuda" else contextlib.nullcontext()
                    with marked:
                        spent[name] += milliseconds(lambda phase=phase, step=step: phase(self.gan, step), device)
            self.gan.step += 1
        return {name: total / iterations for name, total in spent.items()}


class Operations(TorchDispatchMode):
    """Counts what convolutions and products take: two operations a multiply-add."""

    total = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        count = flop_registry.get(function.overloadpacket)
        if count:
            self.total += count(*args, **(kwargs or {}), out_val=result)
        return result


def floor(contender: Contender, device: torch.device) -> float:
    """Milliseconds that a cycle's convolutions and products would take at the speed of one large product."""
    with Operations() as operations:
        contender.cycle()
    size = 8192 if device.type == "cuda" else 1536
    a, b = (torch.randn(size, size, device=device, dtype=DTYPES[contender.gan.config.precision]) for _ in range(2))
    fastest = min(race({"product": lambda: a @ b}, device.type, rounds=7)["product"])
    return operations.total / (2 * size**3 / fastest)


def gpu_work(contender: Contender, trace: Path | None) -> dict[str, float]:
    """From a profile of one cycle: kernels an iteration, and the share of the time in which the GPU runs one."""
    activities = [torch.profiler.ProfilerActivity.CPU]
    on_gpu = contender.gan.device.type == "cuda"
    if on_gpu:
        activities.append(torch.profiler.ProfilerActivity.CUDA)
    start = time.perf_counter()
    with torch.profiler.profile(activities=activities) as profile:
        contender.cycle()
        if on_gpu:
            torch.cuda.synchronize()
    wall_us = (time.perf_counter() - start) * 1e6
    if trace:
        profile.export_chrome_trace(str(trace))
    if not on_gpu:
        return {}
    kernels = [e for e in profile.events() if e.device_type == torch.autograd.DeviceType.CUDA]
    busy = sum(e.time_range.elapsed_us() for e in kernels)
    return {"kernels": len(kernels) / contender.gan.config.r1_every, "gpu_busy_percent": 100 * busy / wall_us}


def peak_megabytes(device: str) -> float:
    """Of the device since the process began; on a CPU of the process, all contenders together."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


@click.command()
@click.option("--resolution", default=64, show_default=True)
@click.option("--preset", type=click.Choice(list(SEMGAN_PRESETS)), default="tiny", show_default=True)
@click.option("--batch", default=16, show_default=True)
@click.option("--precision", multiple=True, type=click.Choice(["fp32", "bf16"]), help="May be repeated. Default: auto.")
@click.option("--dist-loss", default="class 10", show_default=True, help="Empty leaves the distribution loss out.")
@click.option("--main", "main_only", is_flag=True, help="Leave R1 and path length out.")
@click.option("--trace", type=click.Path(path_type=Path), help="Write a torch profiler trace of one cycle here.")
@options
def main(resolution, preset, batch, precision, dist_loss, main_only, trace, device, rounds, compiled, against, path):
    if compiled and not main_only:
        raise click.UsageError("--compile needs --main: what torch.compile makes cannot be differentiated twice")
    keep_freed_memory()
    place = torch.device(device)
    rows = []
    for chosen in precision or [resolve("auto", place)]:
        stated = dict(resolution=resolution, batch=batch, dist_loss=dist_loss, dist_start="0")
        config = replace(semgan_config(preset, stated), precision=chosen)
        if main_only:
            config = replace(config, **NO_REGULARISERS)
        ours = Contender("native", config, place)
        cycles = {"pumpgan": ours.cycle, "torch": Contender("reference", config, place).cycle}
        if compiled:
            cycles["torch.compile"] = Contender("reference", config, place, compiled=True).cycle
        for name, build in against.items():
            iteration = build(config, place)
            cycles[name] = lambda iteration=iteration, count=config.r1_every: [iteration() for _ in range(count)]
        least = floor(ours, place)
        if device == "cuda":
            torch.cuda.reset_peak_memory_stats()
            ours.cycle()
        memory = peak_megabytes(device)
        times = race(cycles, device, warmup=1, rounds=rounds)
        title = f"{preset} {resolution}px batch {batch} {chosen}{' main' if main_only else ''}"
        facts = {"what": title, "floor_ms": least / config.r1_every, "peak_megabytes": memory}
        for name in cycles:
            row: dict = facts | {"contender": name, "iteration_ms": median(times[name]) / config.r1_every}
            row["images_per_second"] = 1000 * batch / row["iteration_ms"]
            row["iteration_ratio"] = ratio(times, name, "pumpgan")
            rows.append(row)
            click.echo(
                f"{title:>32} {name:>14} {row['iteration_ms']:9.1f} ms {row['images_per_second']:8.1f} images/s "
                f"{row['iteration_ratio']:6.2f} x ours, {row['iteration_ms'] / row['floor_ms']:5.1f} floors"
            )
        phases = ours.phases(device)
        work = gpu_work(ours, trace) if trace or device == "cuda" else {}
        click.echo("  " + ", ".join(f"{name} {ms:.1f} ms" for name, ms in phases.items()))
        click.echo(f"  peak {memory:.0f} MiB" + "".join(f", {name} {value:.1f}" for name, value in work.items()))
        rows.append(facts | work | {"contender": "phases", "phases_ms": phases})
    save(path, rows, device)


if __name__ == "__main__":
    main()
