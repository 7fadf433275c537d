"""Runs every benchmark, and on a GPU the tests that need one; a JSON file each, ready for report.py.

python benchmarks/all.py                          # under 9 minutes on a GPU, including pytest -m cuda
python benchmarks/all.py --quick --out /tmp/try   # one round of everything, to see that it runs
"""

import subprocess
import sys
import time
from pathlib import Path

import click
import torch

HERE = Path(__file__).parent
SMALLEST_STEP = ["--resolution", "16", "--batch", "4"]
BOTH_PRECISIONS = ["--precision", "fp32", "--precision", "bf16"]
BENCHMARKS = {  # file of results: script, what it is given beside the common options, what instead where --quick
    "bias_act": ("bench_bias_act", [], []),
    "upfirdn2d": ("bench_upfirdn2d", [], []),
    "label_stats": ("bench_label_stats", [], []),
    "modconv": ("bench_modconv", [], []),
    "step": ("bench_step", BOTH_PRECISIONS, SMALLEST_STEP),
    "step-main": ("bench_step", ["--main", *BOTH_PRECISIONS], ["--main", *SMALLEST_STEP]),
}


@click.command()
@click.option("--out", type=click.Path(path_type=Path), default=HERE / "results", help="Folder for the JSON files.")
@click.option("--quick", is_flag=True, help="One round, the smallest step: says that everything runs, not how fast.")
@click.option("--compile", "compiled", is_flag=True, help="Race torch.compile of the definitions too.")
@click.option("--device", type=click.Choice(["cpu", "cuda"]), default="cuda" if torch.cuda.is_available() else "cpu")
def main(out, quick, compiled, device):
    out.mkdir(parents=True, exist_ok=True)
    failed = []

    def run(name: str, command: list[str]) -> None:
        start = time.monotonic()
        click.echo(f"== {name}")
        if subprocess.run([sys.executable, *command], cwd=HERE.parent).returncode:
            failed.append(name)
        click.echo(f"== {name}: {time.monotonic() - start:.0f} s")

    for name, (script, full, smallest) in BENCHMARKS.items():
        command = [str(HERE / f"{script}.py"), "--device", device]
        command += ["--json", str((out / f"{name}-{device}.json").absolute())]
        command += ["--rounds", "1", *smallest] if quick else full
        if compiled and name != "step":  # which torch.compile cannot take: it differentiates twice
            command.append("--compile")
        run(name, command)
    if device == "cuda":
        run("tests", ["-m", "pytest", "-q", "-m", "cuda"])
    if failed:
        raise click.ClickException(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
