"""A whole iteration of training: images a second against plain torch and peers, and where the time goes.

One iteration is all phases on one batch, regularisers in their turn. Contenders start from the same weights and take
turns, as many iterations at a time as lie between two R1 phases, under the same allocator settings; `--main` leaves the
regularisers out, as torch.compile must, whose gradients have none. `floor` is the time of the convolutions and products
alone, at the speed at which this machine multiplies large matrices in the same precision in the same run.

    python benchmarks/bench_step.py --resolution 64 --precision fp32 --precision bf16
    python benchmarks/bench_step.py --model stylegan2-ada --preset full --batch 4 --main --compile
    python benchmarks/bench_step.py --against peer=package.module:build     # build(config, device) -> one iteration
"""

import contextlib
import resource
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import click
import torch
from racing import milliseconds, options, product_speed, race, ratio, save
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from pumpgan.losses.distribution import ShareTarget
from pumpgan.models.discriminators import signed_one_hot
from pumpgan.ops import implementation
from pumpgan.train.allocator import keep_freed_memory
from pumpgan.train.config import GanConfig, SemganConfig
from pumpgan.train.distribution import ShareControl
from pumpgan.train.gan import Gan, Step
from pumpgan.train.learner import Task, name_of, take_step
from pumpgan.train.precision import DTYPES, resolve
from pumpgan.train.presets import MODELS, configured, settled
from pumpgan.train.semgan import Semgan
from pumpgan.train.stylegan2_ada import Stylegan2Ada

CLASSES = 11


def configuration(model: str, preset: str, stated: dict[str, Any], main_only: bool) -> GanConfig:
    config = settled(configured(model, preset, stated), (stated["resolution"],) * 2)
    lazy = ("r1_gamma", "label_gamma", "path_length_weight")
    return replace(config, **{name: 0.0 for name in lazy if main_only and hasattr(config, name)})


def build(config: GanConfig, device: torch.device) -> tuple[Gan, Callable[[], Step]]:
    """What a step changes, and what makes a step, always of the same images."""
    size, dtype = (config.resolution, config.resolution), DTYPES[config.precision]
    images, labelled = (torch.rand(config.batch, 3, *size, device=device) * 2 - 1 for _ in range(2))
    if not isinstance(config, SemganConfig):
        return Stylegan2Ada(config, Task(size, 3), device, dtype), lambda: Step(images)
    labels = torch.randint(0, CLASSES, (64, *size))
    names = [f"class {c}" for c in range(CLASSES)]
    control = ShareControl(config, ShareTarget.of(labels, CLASSES), names, device)
    hot = signed_one_hot(labels[: config.batch].to(device), CLASSES)
    return Semgan(config, Task(size, 3, tuple(names)), control, device, dtype), lambda: Step(images, labelled, hot)


class Contender:
    """A run whose steps all use one implementation of the operators."""

    def __init__(self, ops: str, config: GanConfig, device: torch.device, *, compiled: bool = False):
        self.ops, self.device = ops, device
        self.gan, self.make_step = build(config, device)
        self.iterations = iterations(config)
        if compiled:
            for name in self.gan.NETWORKS:
                getattr(self.gan, name).compile()

    def cycle(self) -> None:
        implementation.use(self.ops)
        for _ in range(self.iterations):
            take_step(self.gan, self.make_step())

    def phases(self) -> dict[str, float]:
        """Milliseconds of each phase, a cycle's sum divided by its iterations; an NVTX range each on CUDA."""
        implementation.use(self.ops)
        spent: Counter = Counter()
        for _ in range(self.iterations):
            step = self.make_step()
            for phase, every in self.gan.phases():
                if self.gan.step % every(self.gan.config) == 0:
                    name = name_of(phase)
                    with torch.cuda.nvtx.range(name) if self.device.type == "cuda" else contextlib.nullcontext():
                        run = lambda phase=phase, step=step: phase(self.gan, step)  # noqa: E731
                        spent[name] += milliseconds(run, self.device.type)
            self.gan.step += 1
        return {name: total / self.iterations for name, total in spent.items()}


def iterations(config: GanConfig) -> int:
    """Of a cycle: every regulariser that there is acts in it."""
    return config.r1_every if config.r1_gamma or config.path_length_weight else 1


class Operations(TorchDispatchMode):
    """Counts what convolutions and products take: two operations a multiply-add."""

    total = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        count = flop_registry.get(function.overloadpacket)
        if count:
            self.total += count(*args, **(kwargs or {}), out_val=result)
        return result


def floor(contender: Contender) -> float:
    """Milliseconds that an iteration's convolutions and products would take at the speed of one large product."""
    with Operations() as operations:
        contender.cycle()
    speed = product_speed(contender.device.type, DTYPES[contender.gan.config.precision])
    return operations.total / speed / contender.iterations


def gpu_work(contender: Contender, trace: Path | None) -> dict[str, float]:
    """From a profile of one cycle: kernels and launches an iteration, and milliseconds in which the GPU runs one."""
    activities = [torch.profiler.ProfilerActivity.CPU]
    if contender.device.type == "cuda":
        activities.append(torch.profiler.ProfilerActivity.CUDA)
    with torch.profiler.profile(activities=activities) as profile:
        contender.cycle()
        if contender.device.type == "cuda":
            torch.cuda.synchronize()
    if trace:
        profile.export_chrome_trace(str(trace))
    if contender.device.type == "cpu":
        return {}
    events = profile.events()
    kernels = [e.time_range for e in events if e.device_type == torch.autograd.DeviceType.CUDA]
    busy = end = 0.0
    for span in sorted(kernels, key=lambda span: span.start):  # those of several streams overlap
        busy += max(0.0, span.end - max(span.start, end))
        end = max(end, span.end)
    launches = sum("LaunchKernel" in e.name or "GraphLaunch" in e.name for e in events)
    figures = {"kernels": len(kernels), "launches": launches, "gpu_busy_ms": busy / 1e3}
    return {name: figure / contender.iterations for name, figure in figures.items()}


def peak_of(build: Callable[[], Callable[[], None]], device: str) -> tuple[Callable[[], None], float]:
    """What `build` makes, run once, and the most MiB that the two took; on a CPU of the whole process so far."""
    if device == "cpu":
        run = build()
        run()
        return run, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    run = build()
    run()
    torch.cuda.synchronize()
    return run, (torch.cuda.max_memory_allocated() - before) / 2**20


@click.command()
@click.option("--model", type=click.Choice(list(MODELS)), default="semgan", show_default=True)
@click.option("--preset", type=click.Choice(["tiny", "full", "thesis"]), default="tiny", show_default=True)
@click.option("--resolution", default=64, show_default=True)
@click.option("--batch", "batches", multiple=True, default=[16], show_default=True, help="May be repeated.")
@click.option("--precision", multiple=True, type=click.Choice(["fp32", "bf16"]), help="May be repeated. Default: auto.")
@click.option("--dist-loss", default="class 10", show_default=True, help="Of semgan; empty leaves it out.")
@click.option("--augment", default=0.0, show_default=True, help="Probability of the discriminators' augmentation.")
@click.option("--main", "main_only", is_flag=True, help="Leave R1 and path length out.")
@click.option("--trace", type=click.Path(path_type=Path), help="Write a torch profiler trace of one cycle here.")
@options
def main(model, preset, resolution, batches, precision, dist_loss, augment, main_only, trace, **racing):
    if racing["compiled"] and not main_only:
        raise click.UsageError("--compile needs --main: what torch.compile makes cannot be differentiated twice")
    if trace and len(precision) * len(batches) > 1:
        raise click.UsageError("--trace needs one --precision and one --batch")
    keep_freed_memory()
    device = torch.device(racing["device"])
    stated: dict[str, Any] = dict(resolution=resolution, augment="fixed" if augment else "none", augment_p=augment)
    if model == "semgan":
        stated |= dict(dist_loss=dist_loss, dist_start="0")
    rows = []
    for batch in batches:
        for chosen in precision or [resolve("auto", device)]:
            config = configuration(model, preset, stated | dict(batch=batch, precision=chosen), main_only)
            extras = [f"augmented {augment:g}"] * bool(augment) + ["main"] * main_only
            title = " ".join([f"{model} {preset} {resolution}px batch {batch} {chosen}", *extras])
            rows += contest(title, config, device, racing["rounds"], racing["compiled"], racing["against"], trace)
    save(racing["path"], rows, racing["device"])


def contest(title, config, device, rounds, compiled, against, trace) -> list[dict]:
    """Prints and returns a row a contender, and one with the phases of ours."""
    contenders: dict[str, Contender] = {}

    def ours(name: str, ops: str, **options) -> Callable[[], None]:
        contenders[name] = Contender(ops, config, device, **options)
        return contenders[name].cycle

    def peer(build: Callable) -> Callable[[], None]:
        iteration, count = build(config, device), iterations(config)
        return lambda: [iteration() for _ in range(count)] and None

    builds = {"pumpgan": lambda: ours("pumpgan", "native"), "torch": lambda: ours("torch", "reference")}
    if compiled:
        builds["torch.compile"] = lambda: ours("torch.compile", "reference", compiled=True)
    builds |= {name: lambda build=build: peer(build) for name, build in against.items()}
    cycles, peaks = {}, {}
    for name, build in builds.items():
        cycles[name], peaks[name] = peak_of(build, device.type)
    count, least = iterations(config), floor(contenders["pumpgan"])
    times = race(cycles, device.type, warmup=1, rounds=rounds)
    rows: list[dict] = []
    for name in cycles:
        spent = median(times[name]) / count
        row = {"what": title, "contender": name, "iteration_ms": spent}
        row["iteration_ratio"] = ratio(times, name, "pumpgan")
        row["images_per_second"] = 1000 * config.batch / spent
        row |= {"floor_ms": least, "floor_percent": 100 * least / spent, "peak_mib": peaks[name]}
        if device.type == "cuda":
            row["memory_ratio"] = peaks[name] / peaks["pumpgan"]
        rows.append(row)
        click.echo(
            f"{title:>48} {name:>16} {spent:9.1f} ms {row['images_per_second']:8.1f} images/s "
            f"{row['iteration_ratio']:6.2f} x ours, {row['floor_percent']:5.1f} % of floor, {peaks[name]:.0f} MiB"
        )
    phases = contenders["pumpgan"].phases()
    work = gpu_work(contenders["pumpgan"], trace) if trace or device.type == "cuda" else {}
    if work:
        work["gpu_busy_percent"] = 100 * work["gpu_busy_ms"] / rows[0]["iteration_ms"]
    click.echo("  " + ", ".join(f"{name} {ms:.1f} ms" for name, ms in phases.items()))
    if work:
        click.echo("  " + ", ".join(f"{name} {value:.1f}" for name, value in work.items()))
    rows[0] |= work | {"phases_ms": phases}
    return rows


if __name__ == "__main__":
    main()
