"""Which implementation of the operators runs: the kernels in csrc, or the definitions in plain torch.

`PUMPGAN_OPS=auto|native|reference` sets it for a process, `use(...)` from within. Nothing changes by itself later on.
"""

import importlib.util
import os

CHOICES = ("auto", "native", "reference")
_chosen: str | None = None


def built() -> bool:
    """Whether the kernels were compiled into this installation."""
    return importlib.util.find_spec("pumpgan._C") is not None


def use(choice: str) -> None:
    """Chooses for the whole process. ValueError where `native` is asked for and pumpgan._C was not built."""
    global _chosen
    if choice not in CHOICES:
        raise ValueError(f"ops: must be one of {', '.join(CHOICES)}, got {choice!r}")
    if choice == "native" and not built():
        raise ValueError("ops: native kernels were asked for but pumpgan._C is not built; see Install in README.md")
    _chosen = "reference" if choice == "reference" or not built() else "native"


def in_use() -> str:
    """`native` or `reference`."""
    if _chosen is None:
        use(os.environ.get("PUMPGAN_OPS", "auto"))
    return _chosen  # type: ignore[return-value]


def describe() -> dict:
    """in_use; built; cpu_isa, None where not built; cuda_architectures, such as "8.0", with GPU code in the library."""
    if not built():
        return {"in_use": in_use(), "built": False, "cpu_isa": None, "cuda_architectures": []}
    import pumpgan._C as library

    capabilities = [int(code) for code in library.cuda_architectures.split(",") if code]
    architectures = [f"{code // 100}.{code % 100 // 10}" for code in capabilities]
    return {"in_use": in_use(), "built": True, "cpu_isa": library.cpu_isa, "cuda_architectures": architectures}
