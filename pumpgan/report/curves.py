"""Precision over recall, drawn: what a detector's threshold trades for what."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pumpgan.report.drawing import COLOURS, FAINT, checked_path, escaped, frame, picture

STYLES = ("-", "--", ":")  # a seventh curve has the first colour again, dashed
F1_LEVELS = (0.2, 0.4, 0.6, 0.8)


def draw_precision_recall(curves: Mapping[str, Mapping[str, Any]], path: str | Path, *, title: str = "") -> None:
    """Writes a picture of one or more precision-recall curves, over faint lines of equal F1.

    Args:
        curves: name -> precision and recall, sequences of one length with recall rising (or falling), each 0 to 1; and
            average_precision, a number or None, which stands beside the name. At most 18 names.
        path: ends in .png or .svg; its folder is made if need be.

    Raises:
        ValueError: no curves or too many, an empty one, lengths that differ, values out of range, another ending.
        OSError: where the picture cannot be written, naming it.
    """
    checked_path(path, "draw_precision_recall")
    most = len(COLOURS) * len(STYLES)
    if not 1 <= len(curves) <= most:
        raise ValueError(f"draw_precision_recall: needs 1 to {most} curves, got {len(curves)}")
    steps = {name: staircase(name, curve["recall"], curve["precision"]) for name, curve in curves.items()}

    with picture(path, (7.0, 4.6)) as figure:
        axes = figure.add_subplot()
        for level in F1_LEVELS:
            recall = np.linspace(level / (2 - level), 1, 200)
            axes.plot(recall, level * recall / (2 * recall - level), color=FAINT, linewidth=0.8, zorder=1)
            axes.text(1.01, level / (2 - level), f"F1 {level:g}", color="#8a929a", fontsize=8, va="center")
        styles = {name: (STYLES[i // len(COLOURS)], COLOURS[i % len(COLOURS)]) for i, name in enumerate(curves)}
        for name in sorted(curves, key=lambda name: -(curves[name]["average_precision"] or 0)):
            style, colour = styles[name]
            axes.plot(*steps[name], style, color=colour, linewidth=1.8, zorder=3, label=label(name, curves[name]))
        axes.set(xlim=(0, 1), ylim=(0, 1.005), xlabel="recall", ylabel="precision", title=escaped(title))
        axes.set_aspect("equal", anchor="W")
        frame(axes)
        axes.legend(
            labelcolor="linecolor", loc="upper left", bbox_to_anchor=(1.12, 1.0), borderaxespad=0,
            frameon=False, handlelength=1.6, labelspacing=0.7,
        )  # fmt: skip


def label(name: str, curve: Mapping[str, Any]) -> str:
    """What stands beside a curve, in its colour; the best one first."""
    area = curve["average_precision"]
    return f"{escaped(name)}\nAP {area:.3f}" if area is not None else escaped(name)


def staircase(name: str, recall: Any, precision: Any) -> tuple[np.ndarray, np.ndarray]:
    """The corners of the steps whose area is the average precision, recall rising from 0."""
    x, y = np.asarray(recall, float), np.asarray(precision, float)
    if x.ndim != 1 or x.shape != y.shape or not x.size:
        raise ValueError(
            f"draw_precision_recall: {name}: precision and recall must be lists of one length, "
            f"got {list(y.shape)} and {list(x.shape)}"
        )
    if not all(((values >= 0) & (values <= 1)).all() for values in (x, y)):
        raise ValueError(f"draw_precision_recall: {name}: precision and recall must be 0 to 1")
    if x[0] > x[-1]:
        x, y = x[::-1], y[::-1]
    if (np.diff(x) < 0).any():
        raise ValueError(f"draw_precision_recall: {name}: recall must rise all along, or fall all along")
    gained = np.diff(x, prepend=0) > 0
    if not gained.any():
        raise ValueError(f"draw_precision_recall: {name}: recall must rise above 0")
    return np.repeat(np.concatenate([[0], x[gained]]), 2)[1:-1], np.repeat(y[gained], 2)
