"""Runs every benchmark, and on a GPU the tests that need one; a JSON file each, ready for report.py.

python benchmarks/all.py                          # under 9 minutes on a GPU, including pytest -m cuda
python benchmarks/all.py --quick --out /tmp/try   # one round of everything, to see that it runs
python benchmarks/all.py --peer stylegan2-ada=package.module

A peer is a module on PYTHONPATH; each of its functions with a name of FUNCTIONS is raced with ours, and takes what ours
takes: the operators their arguments, `semgan` and `stylegan2_ada` a configuration and a device, for which they return a
call that trains one iteration. goals.py lists the names of peers that it knows.
"""

import importlib
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import click
import torch

HERE = Path(__file__).parent
FUNCTIONS = {  # script or model -> a peer's function
    "bench_bias_act": "bias_act",
    "bench_upfirdn2d": "upfirdn2d",
    "bench_affine_sample": "affine_sample",
    "bench_label_stats": "label_stats",
    "bench_modconv": "modulated_conv2d",
    "semgan": "semgan",
    "stylegan2-ada": "stylegan2_ada",
}


@dataclass(frozen=True)
class Benchmark:
    script: str
    arguments: str = ""  # beside the options that all have
    quick: str = ""  # instead, where --quick
    compiles: bool = True  # whether --compile means something to it

    @property
    def model(self) -> str:
        return self.arguments.partition("--model ")[2].partition(" ")[0]


def step(model: str, arguments: str, *, main: bool = False) -> Benchmark:
    arguments = f"--model {model} {'--main ' * main}{arguments}"
    quick = f"--model {model} {'--main ' * main}--resolution 16 --batch 4 --precision fp32"
    return Benchmark("bench_step", arguments, quick, compiles=main)  # torch.compile cannot be differentiated twice


KERNELS = {
    "bias_act": Benchmark("bench_bias_act"),
    "upfirdn2d": Benchmark("bench_upfirdn2d"),
    "affine_sample": Benchmark("bench_affine_sample"),
    "label_stats": Benchmark("bench_label_stats"),
    "modconv": Benchmark("bench_modconv"),
}
BOTH = "--precision fp32 --precision bf16"
FULL_64 = "--preset full --resolution 64"
BENCHMARKS = {
    "cpu": KERNELS
    | {
        "step": step("semgan", BOTH),
        "step-ada-main": step("stylegan2-ada", f"{FULL_64} --batch 4 {BOTH} --rounds 11", main=True),
        "step-semgan-main": step("semgan", f"{FULL_64} --batch 2 --dist-loss= {BOTH} --rounds 11", main=True),
    },
    "cuda": KERNELS
    | {
        "step-ada-64": step("stylegan2-ada", f"{FULL_64} --batch 32 --batch 64 --rounds 5"),
        "step-ada-128": step("stylegan2-ada", "--preset full --resolution 128 --batch 32 --batch 64 --rounds 5"),
        "step-ada-256": step("stylegan2-ada", "--preset full --resolution 256 --batch 16 --batch 64 --rounds 3"),
        "step-ada-augmented": step("stylegan2-ada", f"{FULL_64} --batch 32 --augment 0.5 --rounds 5"),
        "step-semgan": step("semgan", f"{FULL_64} --batch 16 --dist-loss= --rounds 5"),
    },
}


@click.command()
@click.option("--out", type=click.Path(path_type=Path), default=HERE / "results", help="Folder for the JSON files.")
@click.option("--quick", is_flag=True, help="One round, the smallest step: says that everything runs, not how fast.")
@click.option("--compile", "compiled", is_flag=True, help="Race torch.compile of the definitions too.")
@click.option("--peer", "peers", multiple=True, help="NAME=package.module, raced wherever it has the function.")
@click.option("--only", multiple=True, help="Names of benchmarks, instead of all.")
@click.option("--device", type=click.Choice(["cpu", "cuda"]), default="cuda" if torch.cuda.is_available() else "cpu")
def main(out, quick, compiled, peers, only, device):
    out.mkdir(parents=True, exist_ok=True)
    commands = every_command(out.absolute(), quick, compiled, peers, device)
    unknown = set(only) - commands.keys()
    if unknown:
        raise click.BadParameter(f"--only: must be among {', '.join(commands)}, got {', '.join(sorted(unknown))}")
    failed = []
    for name in only or commands:
        start = time.monotonic()
        click.echo(f"== {name}")
        if subprocess.run([sys.executable, *commands[name]], cwd=HERE.parent).returncode:
            failed.append(name)
        click.echo(f"== {name}: {time.monotonic() - start:.0f} s")
    if failed:
        raise click.ClickException(f"failed: {', '.join(failed)}")


def every_command(out: Path, quick: bool, compiled: bool, peers: tuple[str, ...], device: str) -> dict[str, list[str]]:
    """What follows `python`, by the stem of its results."""
    commands = {}
    for name, benchmark in BENCHMARKS[device].items():
        command = [str(HERE / f"{benchmark.script}.py"), "--device", device]
        command += ["--json", str(out / f"{name}-{device}.json")]
        command += ["--rounds", "1", *benchmark.quick.split()] if quick else benchmark.arguments.split()
        command += ["--compile"] * (compiled and benchmark.compiles)
        commands[name] = command + against(peers, FUNCTIONS.get(benchmark.model or benchmark.script, ""))
    if device == "cuda":
        return commands | {"tests": ["-m", "pytest", "-q", "-m", "cuda"]}
    one = ["--rounds", "1", "--photographs", "2", "--kind", "all"] if quick else []
    commands["import"] = [str(HERE / "bench_import.py"), *one, "--json", str(out / "import.json")]
    if shutil.which("nvcc"):
        one = ["--architecture", "90"] if quick else []
        commands["cuda_resources"] = [str(HERE / "cuda_resources.py"), *one, "--json", str(out / "cuda_resources.json")]
    return commands


def against(peers: tuple[str, ...], function: str) -> list[str]:
    """The options that race the peers that have `function`."""
    found = []
    for peer in peers:
        name, _, module = peer.partition("=")
        try:
            has = hasattr(importlib.import_module(module), function)
        except (ImportError, ValueError) as error:
            raise click.BadParameter(f"--peer {peer!r}: {error}") from error
        found += ["--against", f"{name}={module}:{function}"] * has
    return found


if __name__ == "__main__":
    main()
