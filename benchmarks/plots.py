"""The pictures of docs/performance.md, readable on a light and on a dark page."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

import matplotlib
from goals import Outcome

matplotlib.use("svg")
import matplotlib.pyplot as plt

GREY, MET, MISSED = "#808890", "#2f9e6e", "#d9722b"
MOST_PERCENT = 130  # what a cache lets exceed a copy stands at the upper edge
LINES = {"pumpgan": "#3b82d6", "torch": "#d9722b"}
STYLE = {
    **{name: GREY for name in ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color")},
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "savefig.transparent": True,
    "svg.fonttype": "none",  # letters stay letters
    "svg.hashsalt": "pumpgan",  # the same figures give the same bytes
}


def draw_goals(outcomes: Sequence[Outcome], path: Path) -> None:
    """A bar a goal, from its worst to its best row in units of the goal, a dot at the median."""
    labels = [f"{o.goal.what}  ({'≤' if o.goal.at_most else '≥'} {o.goal.bound:.3g})" for o in outcomes]
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(8, 0.6 + 0.24 * len(outcomes)), layout="constrained")
        for y, found in enumerate(outcomes):
            scores = found.scores()
            colour = MISSED if found.missed else MET
            axes.plot([min(scores), max(scores)], [y, y], color=colour, linewidth=6, solid_capstyle="round")
            axes.plot([median(scores)], [y], "o", color="white", markeredgecolor=colour, markersize=5)
        axes.axvline(1, color=GREY, linewidth=1, linestyle="--")
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(lambda x, _: f"{x:g}")
        axes.xaxis.set_minor_formatter(lambda x, _: f"{x:.1g}" if f"{x:.1g}"[-1] in "25" else "")
        axes.tick_params(axis="x", which="both", pad=4)
        axes.set_xlabel("measured, in units of the goal: 1 or more is met")
        axes.set_yticks(range(len(outcomes)), labels)
        axes.invert_yaxis()
        figure.savefig(path, metadata={"Date": None})
        plt.close(figure)


def draw_shares(panels: Mapping[str, Sequence[Mapping]], path: Path) -> None:
    """A panel an operation: how much of a copy's speed a call reaches, by the size of what it reads, ours and torch's.

    panels: title -> rows with "mebibytes", "contender" and "forward_copy_percent".
    """
    with plt.rc_context(STYLE):
        figure, all_axes = plt.subplots(
            1, len(panels), figsize=(2.1 * len(panels), 2.4), sharey=True, layout="constrained", squeeze=False
        )
        for axes, (title, rows) in zip(all_axes[0], panels.items(), strict=True):
            for name, colour in LINES.items():
                own = [r for r in rows if r["contender"] == name]
                points = [(r["mebibytes"], min(r["forward_copy_percent"], MOST_PERCENT)) for r in own]
                axes.plot(*zip(*points, strict=True), "o", color=colour, markersize=3.5, alpha=0.8, label=name)
            axes.set_ylim(0, MOST_PERCENT)
            axes.axhline(100, color=GREY, linewidth=1, linestyle="--")
            axes.set_xscale("log")
            axes.xaxis.set_major_formatter(lambda x, _: f"{x:g}")
            axes.set_title(title, fontsize=9)
            axes.set_xlabel("MiB")
        all_axes[0][0].set_ylabel("% of a copy's speed")
        figure.legend(*all_axes[0][0].get_legend_handles_labels(), loc="outside right upper", frameon=False)
        figure.savefig(path, metadata={"Date": None})
        plt.close(figure)
