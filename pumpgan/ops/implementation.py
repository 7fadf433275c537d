"""Which implementation of the operators runs: the kernels in csrc, or the definitions in plain torch.

`PUMPGAN_OPS=auto|native|reference` sets it for a process, `use(...)` from within. Nothing changes by itself later on.
"""

import importlib
import importlib.util
import os
import sys

CHOICES = ("auto", "native", "reference")
LIBRARY = "pumpgan._C"
_chosen = "reference"  # until `load`


def built() -> bool:
    """Whether the kernels were compiled into this installation."""
    return importlib.util.find_spec(LIBRARY) is not None


def loaded() -> bool:
    """Whether the kernels are in this process."""
    return LIBRARY in sys.modules


def load() -> None:
    """Does what PUMPGAN_OPS says: loads the kernels if they were built, which registers torch.ops.pumpgan.*, or not.

    `import pumpgan.ops` calls it, so a torch.compile trace finds the choice made. Raises ImportError where the kernels
    do not load, ValueError for an unknown choice.
    """
    choice = os.environ.get("PUMPGAN_OPS", "auto")
    if choice in ("auto", "native") and built():
        try:
            importlib.import_module(LIBRARY)
        except ImportError as error:
            why = str(error).partition("\n")[0]
            raise ImportError(
                f"{LIBRARY} does not load beside this torch and Python ({why}); rebuild pumpgan (Install in "
                "README.md), or set PUMPGAN_OPS=reference to run its definitions in plain torch"
            ) from None
    use(choice)


def use(choice: str) -> None:
    """Chooses for the whole process. ValueError where `native` is asked for and the kernels are not loaded."""
    global _chosen
    if choice not in CHOICES:
        raise ValueError(f"ops: must be one of {', '.join(CHOICES)}, got {choice!r}")
    if choice == "native" and not loaded():
        why = (
            "not loaded, as PUMPGAN_OPS=reference asks; unset it" if built() else "not built; see Install in README.md"
        )
        raise ValueError(f"ops: native kernels were asked for but {LIBRARY} is {why}")
    _chosen = "reference" if choice == "reference" or not loaded() else "native"


def in_use() -> str:
    """`native` or `reference`."""
    return _chosen


def describe() -> dict:
    """in_use; built; loaded; cpu_isa, None where not loaded; cuda_architectures, such as "8.0", with GPU code in it."""
    facts = {"in_use": in_use(), "built": built(), "loaded": loaded(), "cpu_isa": None, "cuda_architectures": []}
    if loaded():
        import pumpgan._C as library

        capabilities = [int(code) for code in library.cuda_architectures.split(",") if code]
        facts["cpu_isa"] = library.cpu_isa
        facts["cuda_architectures"] = [f"{code // 100}.{code % 100 // 10}" for code in capabilities]
    return facts
