"""What each CUDA kernel asks of a GPU, as ptxas tells: registers, spills, local and static shared memory.

No GPU is needed, only nvcc. `threads` is how many threads of the 2,048 that a multiprocessor of these GPUs holds have
registers; spills and stack are bytes a thread keeps in memory for want of registers, and should be 0.

    python benchmarks/cuda_resources.py --json benchmarks/results/cuda_resources.json
"""

import os
import re
import shutil
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path

import click
from racing import save

ROOT = Path(__file__).parent.parent
# As setup.py and torch's BuildExtension compile the kernels.
FLAGS = ["-O3", "-std=c++20", "--expt-relaxed-constexpr", "-D__CUDA_NO_HALF_OPERATORS__"]
FLAGS += ["-D__CUDA_NO_HALF_CONVERSIONS__", "-D__CUDA_NO_BFLOAT16_CONVERSIONS__", "-D__CUDA_NO_HALF2_OPERATORS__"]
ENTRY = re.compile(
    r"Compiling entry function '(?P<name>\w+)'.*\n(?:.*\n)*?"
    r" *(?P<stack>\d+) bytes stack frame, (?P<stores>\d+) bytes spill stores, (?P<loads>\d+) bytes spill loads\n"
    r".*?Used (?P<registers>\d+) registers(?P<rest>.*)"
)
PARTITIONS, REGISTERS, THREADS, WARP = 4, 16384, 2048, 32  # of a multiprocessor, of a partition; 8.0 and 9.0 alike
COLUMNS = ("registers", "threads", "spills", "stack", "shared")


def resources(file: Path, architecture: str) -> list[dict]:
    """A row a kernel of `file`, compiled for compute capability `architecture`, such as "90".

    ValueError with nvcc's words where it does not compile.
    """
    with tempfile.TemporaryDirectory() as folder:
        target = [f"-arch=sm_{architecture}", "-Xptxas", "-v", "-cubin", "-o", f"{folder}/kernels.cubin"]
        done = nvcc(*FLAGS, *target, f"-I{ROOT / 'csrc'}", str(file))
    if done.returncode != 0:
        raise ValueError(f"{file}: does not compile for {architecture}:\n{done.stderr}")
    entries = list(ENTRY.finditer(done.stderr))
    return [
        {
            "file": file.name,
            "architecture": architecture,
            "kernel": name,
            "registers": int(entry["registers"]),
            "threads": resident_threads(int(entry["registers"])),
            "spills": int(entry["stores"]) + int(entry["loads"]),
            "stack": int(entry["stack"]),
            "shared": int(shared[1]) if (shared := re.search(r"(\d+) bytes smem", entry["rest"])) else 0,
        }
        for entry, name in zip(entries, readable([entry["name"] for entry in entries]), strict=True)
    ]


def nvcc(*words: str) -> subprocess.CompletedProcess[str]:
    program = Path(os.environ["CUDA_HOME"], "bin", "nvcc") if "CUDA_HOME" in os.environ else "nvcc"
    return subprocess.run([program, *words], capture_output=True, text=True)


def resident_threads(registers: int) -> int:
    """Registers come in units of 8 a thread, threads in warps, and a warp's lie in one partition."""
    warps = REGISTERS // (max(-(-registers // 8) * 8, 8) * WARP)
    return min(PARTITIONS * warps * WARP, THREADS)


def readable(symbols: list[str]) -> list[str]:
    """Kernels' names and template arguments, without namespaces, results and parameters."""
    if not symbols or shutil.which("c++filt") is None:
        return symbols
    names = subprocess.run(["c++filt", *symbols], capture_output=True, text=True, check=True).stdout.splitlines()
    bare = [re.sub(r"(pumpgan|_GLOBAL__N__\w+|\(anonymous namespace\))::|^void ", "", name) for name in names]
    return [re.sub(r"\(\w*\)(?=\d|true|false)", "", name).partition("(")[0] for name in bare]


@click.command()
@click.argument("files", nargs=-1, type=click.Path(exists=True, path_type=Path))
@click.option("--architecture", "architectures", multiple=True, default=("80", "90"), show_default=True)
@click.option("--json", "path", type=click.Path(path_type=Path), help="Write the figures to this file too.")
def main(files, architectures, path):
    """FILES: CUDA sources; without any, all of csrc."""
    files = files or sorted((ROOT / "csrc").rglob("*_cuda.cu"))
    try:
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            found = pool.map(resources, *zip(*product(files, architectures), strict=True))
            rows = [row for several in found for row in several]
    except (ValueError, OSError) as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"{'kernel':80} {'GPU':>4}" + "".join(f" {column:>9}" for column in COLUMNS))
    for row in rows:
        name = f"{row['file'].removesuffix('_cuda.cu')}: {row['kernel']}"
        click.echo(f"{name:80} {row['architecture']:>4}" + "".join(f" {row[column]:9}" for column in COLUMNS))
    if path is not None:
        save(path, rows, "cpu", nvcc=nvcc("--version").stdout.split("release ")[-1].partition(",")[0], nvcc_flags=FLAGS)


if __name__ == "__main__":
    main()
