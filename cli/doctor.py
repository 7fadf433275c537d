"""`pumpgan doctor`: what this installation runs on, and with what."""

import json
import os
import platform
from importlib import metadata

import click

NEEDED = ["torch", "numpy", "scipy", "pillow", "click", "tqdm", "safetensors", "tensorboard"]
OPTIONAL = ["torchvision", "segmentation-models-pytorch"]  # of the extra `downstream`


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
def doctor(as_json):
    """Say which versions, kernels, processor features, GPUs and caches pumpgan uses here.

    \b
    pumpgan doctor
    """
    findings = examine()
    if as_json:
        click.echo(json.dumps(findings, indent=1))
        return
    for title, facts in findings.items():
        click.echo(title)
        for name, value in facts.items():
            click.echo(f"  {name:<28} {', '.join(value) if isinstance(value, list) else value}")


def examine() -> dict[str, dict]:
    """What `doctor` prints: title -> name -> a text, a number or a list of texts."""
    import torch

    from pumpgan.cache import user_cache

    return {
        "versions": {"python": platform.python_version(), "pumpgan": version("pumpgan")}
        | {package: version(package) for package in [*NEEDED, *OPTIONAL]},
        "operators": {"PUMPGAN_OPS": os.environ.get("PUMPGAN_OPS", "not set: auto")} | operators(),
        "processor": {
            "machine": platform.machine(),
            "torch runs with": torch.backends.cpu.get_cpu_capability(),
            "cores": os.cpu_count() or 0,
            "threads": torch.get_num_threads(),
        },
        "GPUs": {
            "torch built for CUDA": torch.version.cuda or "no",
            "visible": torch.cuda.device_count(),
            **{f"GPU {i}": gpu(i) for i in range(torch.cuda.device_count())},
        },
        "caches": {
            "PUMPGAN_CACHE": os.environ.get("PUMPGAN_CACHE", "not set"),
            "folder": str(user_cache()),
        },
    }


def operators() -> dict[str, str | list[str]]:
    """Which implementation of the operators runs, and why no other."""
    try:
        from pumpgan import ops
        from pumpgan.ops import implementation
    except (ImportError, ValueError) as error:  # kernels that do not load; a PUMPGAN_OPS that is no choice
        return {"in use": "none", "error": str(error)}
    kernels = implementation.describe()
    if not kernels["loaded"]:
        why = "not loaded: PUMPGAN_OPS=reference" if kernels["built"] else "not built: see Install in README.md"
        return {"in use": kernels["in_use"], "operators": sorted(ops.__all__), "kernels": why}
    return {
        "in use": kernels["in_use"],
        "operators": sorted(ops.__all__),
        "kernels for the CPU": kernels["cpu_isa"],
        "kernels for GPUs": kernels["cuda_architectures"] or "none: built without nvcc",
    }


def version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def gpu(index: int) -> str:
    """The GPU's name and capability, and whether an operator really runs there."""
    import torch

    major, minor = torch.cuda.get_device_capability(index)
    about = f"{torch.cuda.get_device_name(index)}, compute capability {major}.{minor}"
    try:
        from pumpgan.ops import bias_act

        bias_act(torch.ones(1, 1, device=f"cuda:{index}")).item()
    except (ImportError, RuntimeError) as error:
        return f"{about}: operators FAIL here: {str(error).splitlines()[0]}"
    return f"{about}: operators run"
