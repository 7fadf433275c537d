"""How every picture of figures looks, and how it gets to a file: the same figures give the same bytes."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

COLOURS = ("#2f6fc4", "#d9622b", "#2f9e6e", "#8a4fbf", "#b8336a", "#7a6a1f")
FAINT, GREY = "#d4d8dc", "#5a6470"
FORMATS = (".png", ".svg")


@contextmanager
def picture(path: str | Path, size: tuple[float, float]) -> Iterator[Any]:
    """A matplotlib figure of this size in inches (160 pixels each), written when the block ends.

    path: as `checked_path` lets pass; its folder is made if need be. Raises OSError, with the path, where it cannot be
    written.
    """
    from matplotlib import rc_context  # takes most of a second to import
    from matplotlib.figure import Figure

    path = Path(path)
    with rc_context({"font.size": 10, "svg.fonttype": "none", "svg.hashsalt": "pumpgan"}):
        figure = Figure(figsize=size, layout="constrained", facecolor="white")
        yield figure
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            figure.savefig(path, dpi=160, metadata={"Date": None} if path.suffix.lower() == ".svg" else None)
        except OSError as error:
            raise OSError(f"{path}: the picture was not written ({error.strerror}); choose another place") from error


def checked_path(path: str | Path, where: str) -> None:
    """ValueError unless the path ends in .png or .svg; `where` names who was asked."""
    if Path(path).suffix.lower() not in FORMATS:
        raise ValueError(f"{where}: path must end in .png or .svg, got {path}")


def frame(axes: Any) -> None:
    """Two grey sides."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(GREY)
    axes.tick_params(colors=GREY)


def escaped(text: str) -> str:
    """Between dollars stand formulas, so none is left plain."""
    return text.replace("$", r"\$")
