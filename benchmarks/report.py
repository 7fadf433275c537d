"""Makes docs/performance.md and its plots from benchmarks/results/*.json: every goal, what was measured, how far off.

A figure is the median of rounds in which the contenders took turns. A goal counts as met where every row meets it.
goals.py, with WHY, is all that is written by hand. Wants matplotlib, of pip install "pumpgan[dev]".

    python benchmarks/report.py
"""

import json
from pathlib import Path

import click
from goals import CPU_GOALS, CUDA_GOALS, PEERS, WHY, Goal, Outcome, outcome

HERE = Path(__file__).parent
COLUMNS = {  # of results -> heading; what a table of rows shows, where the rows have it
    "forward_ms": "forward ms",
    "forward_copy_percent": "% of copy",
    "forward_ratio": "x ours",
    "both_ms": "both ms",
    "both_copy_percent": "% of copy",
    "both_floor_percent": "% of floor",
    "both_ratio": "x ours",
    "iteration_ms": "iteration ms",
    "images_per_second": "images/s",
    "iteration_ratio": "x ours",
    "floor_percent": "% of floor",
    "peak_mib": "MiB",
    "decode_s": "decode s",
    "import_s": "import s",
    "ratio": "import / decode",
    "peak_mb": "peak MB",
}
PANELS = {"bias_act": ("bias_act", "."), "blur": ("upfirdn2d", "blur"), "halving": ("upfirdn2d", "down")}
ALL = "python benchmarks/all.py"


def line(found: Outcome, measured: bool) -> str:
    goal = found.goal
    text = f"| {goal.number} | {goal.what} | {'≤' if goal.at_most else '≥'} {shown(goal.bound)} |"
    if not found.values:
        return f"{text} | | | {unmeasured(goal, measured)} |"
    count = len(found.missed)
    met = "met" if not count else "missed" if len(found.values) == 1 else f"missed in {count} of {len(found.values)}"
    return f"{text} {' | '.join(map(shown, found.range))} | {met} |"


def shown(value: float) -> str:
    return f"{value:.3g}" if value < 1000 else f"{value:,.0f}"


def unmeasured(goal: Goal, measured: bool) -> str:
    """Why there is no figure. measured: whether there are results of the goal's device at all."""
    if not measured and goal.file.endswith("-cuda"):
        return "not measured: no GPU"
    return f"not measured: no --peer {goal.contender}" if goal.contender in PEERS else "not measured"


def remark(found: Outcome) -> str:
    goal, value = found.goal, found.values[found.worst]
    short = value / goal.bound - 1 if goal.at_most else 1 - value / goal.bound
    return f"- **{goal.what}**: {100 * short:.0f} % off at worst ({found.worst}). {WHY.get(goal.what, '')}".rstrip()


def goal_table(outcomes: list[Outcome], measured: bool) -> list[str]:
    return ["| # | what | goal | least | median | most | |", "|---" * 7 + "|", *(line(o, measured) for o in outcomes)]


def row_table(rows: list[dict]) -> list[str]:
    """Of one file of results."""
    columns = [c for c in COLUMNS if any(row.get(c) is not None for row in rows)]
    lead = [c for c in ("what", "contender") if c in rows[0]]
    lines = [f"| {' | '.join([*lead, *(COLUMNS[c] for c in columns)])} |", "|---" * (len(lead) + len(columns)) + "|"]
    for row in rows:
        figures = ["" if row.get(c) is None else f"{row[c]:.2f}" for c in columns]
        lines.append(f"| {' | '.join([*(row[c] for c in lead), *figures])} |")
    return lines


def kernel_summary(rows: list[dict]) -> list[str]:
    """Of cuda_resources.json."""
    kept = [r for r in rows if r["spills"] or r["stack"]]
    most = max(rows, key=lambda row: row["registers"])
    return [
        f"{len(rows)} kernels compiled for {', '.join(sorted({r['architecture'] for r in rows}))}: {len(kept)} keep "
        f"anything in memory for want of registers; at most {most['registers']} registers a thread ({most['kernel']})."
    ]


def phase_lines(rows: list[dict]) -> list[str]:
    """Where the time of a step goes."""
    return [
        f"\n{row['what']}: " + ", ".join(f"{name} {ms:.1f} ms" for name, ms in row["phases_ms"].items()) + "."
        for row in rows
        if "phases_ms" in row
    ]


def pictures(reports: dict[str, dict], outcomes: list[Outcome], folder: Path, device: str) -> list[str]:
    try:
        from plots import draw_goals, draw_shares
    except ImportError as error:
        raise click.ClickException(f'the plots need matplotlib: pip install "pumpgan[dev]" ({error})') from error
    folder.mkdir(parents=True, exist_ok=True)
    lines = []
    measured = [found for found in outcomes if found.values]
    if measured:
        draw_goals(measured, folder / f"goals-{device}.svg")
        lines += ["", f"![Goals, and what was measured]({folder.name}/goals-{device}.svg)"]
    panels = {}
    for title, (stem, use) in PANELS.items():
        rows = reports.get(f"{stem}-{device}", {"rows": []})["rows"]
        rows = [r for r in rows if r.get("forward_copy_percent") and (use == "." or r["what"].startswith(use))]
        if rows:
            panels[title] = rows
    if panels:
        draw_shares(panels, folder / f"shares-{device}.svg")
        lines += ["", f"![Share of a copy's speed by size]({folder.name}/shares-{device}.svg)"]
    return lines


def origin(name: str, report: dict) -> str:
    keys = ("machine", "threads", "torch", "python", "pumpgan", "commit", "nvcc")
    facts = [f"{key} {report[key]}" for key in keys if key in report]
    return f"- {name}: {', '.join(facts) or 'unknown'}"


@click.command()
@click.option("--results", type=click.Path(path_type=Path, exists=True), default=HERE / "results")
@click.option("--out", type=click.Path(path_type=Path), default=HERE.parent / "docs" / "performance.md")
def main(results, out):
    reports = {path.stem: json.loads(path.read_text()) for path in sorted(results.glob("*.json"))}
    if not reports:
        raise click.ClickException(f"{results}: no results; run {ALL} first")
    lines = [
        "# Performance",
        "",
        f"Made by `python benchmarks/report.py` from what `{ALL}` measured; not edited by hand.",
    ]
    lines += [
        "Ratios say how many times as long plain torch or the named peer takes as pumpgan, in turns with it; `least`,"
    ]
    lines += [
        "`median` and `most` go over all shapes, types and layouts that were tried. Numbers are those of the goals."
    ]
    missed = []
    for device, title, goals in (("cpu", "CPU", CPU_GOALS), ("cuda", "GPU", CUDA_GOALS)):
        outcomes = [outcome(goal, reports) for goal in goals]
        measured = any(name.endswith(f"-{device}") for name in reports)
        missed += [found for found in outcomes if found.missed]
        lines += ["", f"## Goals on a {title}", ""]
        if not measured:
            lines += [
                f"Nothing was measured on a {title} yet. On a machine with one, `{ALL}` does (`--peer` adds peers).",
                "",
            ]
        lines += goal_table(outcomes, measured)
        lines += pictures(reports, outcomes, out.parent / "performance", device)
    lines += ["", "## What is missed", "", *map(remark, missed)]
    lines += ["", "## Where it was measured", "", *(origin(name, report) for name, report in reports.items())]
    for name, report in reports.items():
        lines += ["", f"## {name}", ""]
        rows = report["rows"]
        lines += kernel_summary(rows) if "registers" in rows[0] else row_table(rows) + phase_lines(rows)
    out.write_text("\n".join(lines) + "\n")
    click.echo(f"wrote {out}")


if __name__ == "__main__":
    main()
