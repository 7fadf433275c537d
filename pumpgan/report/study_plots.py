"""What a study found, drawn: scores by arm, scores over what was varied, shares of classes, drawn against real."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from pumpgan.report.drawing import COLOURS, FAINT, GREY, checked_path, escaped, frame, picture

Values = Sequence[float]  # of one score, a repeat each


def draw_scores(
    arms: Mapping[str, Values], path: str | Path, *, score: str, baseline: str | None = None, title: str = ""
) -> None:
    """An arm a row: each repeat a ring, the mean a dot, one standard deviation to both sides a line.

    Args:
        arms: name -> the score of each repeat; drawn from top to bottom.
        score: its name, below the axis.
        baseline: the arm whose mean a dashed line carries through all rows.
        path: ends in .png or .svg.

    Raises:
        ValueError: no arms, an arm without repeats, a value not finite, an unknown baseline, another ending.
        OSError: where the picture cannot be written, naming it.
    """
    checked_path(path, "draw_scores")
    if not arms or (baseline is not None and baseline not in arms):
        raise ValueError(f"draw_scores: baseline must be one of the arms {', '.join(arms) or '(none)'}, got {baseline}")
    described = {name: mean_and_std(values, f"draw_scores: {name}") for name, values in arms.items()}
    with picture(path, (7.0, 1.1 + 0.42 * len(arms))) as figure:
        axes = figure.add_subplot()
        if baseline is not None:
            axes.axvline(described[baseline][0], color=GREY, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
        for row, (name, values) in enumerate(arms.items()):
            colour = GREY if name == baseline else COLOURS[0]
            mean, std = described[name]
            axes.plot(values, [row] * len(values), "o", markersize=5, fillstyle="none", color=colour, alpha=0.6)
            if std is not None:
                axes.plot([mean - std, mean + std], [row, row], color=colour, linewidth=2.2, solid_capstyle="round")
            axes.plot(mean, row, "o", markersize=7, color=colour, zorder=3)
            axes.annotate(
                f"{mean:.3f}" + (f" ± {std:.3f}" if std is not None else ""),
                (1.02, row), xycoords=("axes fraction", "data"), va="center", fontsize=9, color=GREY,
            )  # fmt: skip
        axes.set(yticks=range(len(arms)), yticklabels=[escaped(name) for name in arms], xlabel=escaped(score))
        axes.set(ylim=(len(arms) - 0.4, -0.6), title=escaped(title))
        axes.grid(axis="x", color=FAINT, linewidth=0.6)
        axes.set_axisbelow(True)
        frame(axes)
        axes.spines["left"].set_visible(False)
        axes.tick_params(axis="y", length=0, labelcolor="black")


def draw_sensitivity(
    curves: Mapping[str, Mapping[float, Values]],
    path: str | Path,
    *,
    varied: str,
    score: str,
    baseline: Values | None = None,
    baseline_name: str = "baseline",
    logarithmic: bool = False,
    title: str = "",
) -> None:
    """A score over what was varied, as the number of images added or a loss's weight: a line through the means.

    Standard deviations over repeats stand at the points, repeats are rings, and the baseline is a dashed line across.

    Args:
        curves: name -> where it was measured -> the score of each repeat; at most six.
        varied, score: names of the axes.
        baseline: the score of each repeat of what has no place on the axis, as "none".
        logarithmic: the axis of what was varied; every place must then be above 0.
        path: ends in .png or .svg.

    Raises:
        ValueError: no curves or too many, an empty one, a value not finite, a place that the axis does not have,
            another ending.
        OSError: where the picture cannot be written, naming it.
    """
    where = "draw_sensitivity"
    checked_path(path, where)
    if not 1 <= len(curves) <= len(COLOURS):
        raise ValueError(f"{where}: needs 1 to {len(COLOURS)} curves, got {len(curves)}")
    for name, curve in curves.items():
        if not curve or not all(math.isfinite(x) and (x > 0 or not logarithmic) for x in curve):
            kind = "finite and above 0" if logarithmic else "finite"
            raise ValueError(f"{where}: {name}: needs places that are {kind}, got {list(curve)}")
    described = {
        name: [(x, *mean_and_std(curve[x], f"{where}: {name} at {x:g}")) for x in sorted(curve)]
        for name, curve in curves.items()
    }
    base = mean_and_std(baseline, f"{where}: {baseline_name}") if baseline is not None else None
    with picture(path, (7.0, 4.2)) as figure:
        axes = figure.add_subplot()
        if base:
            axes.axhline(base[0], color=GREY, linewidth=1.2, linestyle=(0, (4, 3)), zorder=1, label=baseline_name)
            if base[1] is not None:
                axes.axhspan(base[0] - base[1], base[0] + base[1], color=FAINT, alpha=0.5, linewidth=0, zorder=0)
        for (name, points), colour in zip(described.items(), COLOURS, strict=False):
            x, means = [point[0] for point in points], [point[1] for point in points]
            axes.plot(x, means, "o-", color=colour, linewidth=1.8, markersize=6, zorder=3, label=escaped(name))
            spread = [(at, mean, std) for at, mean, std in points if std is not None]
            if spread:
                at, mean, std = zip(*spread, strict=True)
                axes.errorbar(at, mean, std, fmt="none", ecolor=colour, elinewidth=1.4, capsize=3, zorder=2)
            for place, values in curves[name].items():
                if len(values) > 1:
                    axes.plot(
                        [place] * len(values), values, "o", markersize=4, fillstyle="none", color=colour, alpha=0.5
                    )
        if logarithmic:
            axes.set_xscale("log")
            places = sorted({x for curve in curves.values() for x in curve})
            axes.set_xticks(places, [f"{x:g}" for x in places])
            axes.minorticks_off()
        axes.set(xlabel=escaped(varied), ylabel=escaped(score), title=escaped(title))
        axes.grid(axis="y", color=FAINT, linewidth=0.6)
        frame(axes)
        if len(curves) > 1 or base:
            axes.legend(labelcolor="linecolor", loc="upper left", bbox_to_anchor=(1.02, 1.0), frameon=False)


def draw_class_shares(
    classes: Mapping[str, Mapping[str, Values]],
    path: str | Path,
    *,
    cut: float | None = None,
    bins: int = 40,
    title: str = "",
) -> None:
    """Histograms of how much of an image a class covers, a panel a class; the first set (real) filled, others lines.

    Images without the class are in no bar; the legend says in how many it is, and how many lie beyond the axis.

    Args:
        classes: name of the class -> name of the set -> share of each image's pixels, 0 to 1, images without it
            included; at most six sets.
        cut: where the axis ends, 0 to 1 (the source thesis's figure 3.8: 0.1); None: behind the largest share.
        bins: bars of a panel.
        path: ends in .png or .svg.

    Raises:
        ValueError: no class, no set or too many, a set without images, shares or cut out of range, no bins, another
            ending.
        OSError: where the picture cannot be written, naming it.
    """
    where = "draw_class_shares"
    checked_path(path, where)
    if not classes or bins < 1 or not (cut is None or 0 < cut <= 1):
        raise ValueError(f"{where}: needs classes, bins and a cut above 0 up to 1, got {len(classes)}, {bins}, {cut}")
    shares = {name: checked_shares(sets, f"{where}: {name}") for name, sets in classes.items()}
    columns = min(3, len(classes))
    rows = -(-len(classes) // columns)
    size = (7.0 if columns == 1 else 4.2 * columns, 3.6 if columns == 1 else 2.9 * rows)
    with picture(path, size) as figure:
        for number, (name, sets) in enumerate(shares.items()):
            axes = figure.add_subplot(rows, columns, number + 1)
            end = cut or max(float(values.max()) for values in sets.values()) or 1.0
            edges, top = np.linspace(0, end, bins + 1), 0.0
            for (which, values), colour in zip(sets.items(), COLOURS, strict=False):
                present = values[values > 0]
                inside = present[present <= end]
                label = f"{escaped(which)}: in {100 * len(present) / len(values):.1f} % of {len(values)}"
                if len(inside) < len(present):
                    label += f"\n({len(present) - len(inside)} beyond {100 * end:g} %)"
                percent = 100 * np.histogram(inside, edges)[0] / len(values)
                top = max(top, float(percent.max()))
                filled = colour == COLOURS[0]
                axes.stairs(percent, 100 * edges, fill=filled, color=colour, alpha=0.45 if filled else 1.0)
                axes.stairs(percent, 100 * edges, color=colour, linewidth=1.4, label=label)
            room = 1.15 + 0.12 * len(sets)  # for the legend, above the bars
            axes.set(xlim=(0, 100 * end), ylim=(0, room * top or 1.0), title=escaped(name))
            axes.title.set_fontsize(10)
            if number // columns == rows - 1 or number + columns >= len(shares):
                axes.set_xlabel("% of the image's pixels")
            if number % columns == 0:
                axes.set_ylabel("% of images")
            frame(axes)
            axes.legend(labelcolor="linecolor", frameon=False, fontsize=8, loc="upper right", handlelength=1.2)
        if title:
            figure.suptitle(escaped(title), fontsize=12)


def checked_shares(sets: Mapping[str, Values], where: str) -> dict[str, np.ndarray]:
    if not 1 <= len(sets) <= len(COLOURS):
        raise ValueError(f"{where}: needs 1 to {len(COLOURS)} sets, got {len(sets)}")
    shares = {name: np.asarray(values, float) for name, values in sets.items()}
    for name, values in shares.items():
        if values.ndim != 1 or not len(values) or not ((values >= 0) & (values <= 1)).all():
            raise ValueError(f"{where}: {name}: needs a share of 0 to 1 for each image")
    return shares


def mean_and_std(values: Values, where: str) -> tuple[float, float | None]:
    """Of repeats; the deviation over n - 1, None for one."""
    found = np.asarray(values, float)
    if found.ndim != 1 or not len(found) or not np.isfinite(found).all():
        raise ValueError(f"{where}: needs a finite score for each repeat, got {list(values)}")
    return float(found.mean()), float(found.std(ddof=1)) if len(found) > 1 else None
