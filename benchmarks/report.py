"""Makes docs/performance.md from benchmarks/results/*.json: every goal, what was measured, and how far off it is.

A goal is a least ratio of plain torch's time to ours, the median of rounds in which both took turns. It counts as met
where every layer meets it. GOALS and WHY are all that is written by hand.

    python benchmarks/report.py
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import click

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Goal:
    what: str
    file: str  # stem of a file of results
    rows: str  # regular expression that the row's "what" must match
    column: str
    least: float


GOALS = [
    Goal("bias_act, forward", "bias_act-cpu", ".", "forward_ratio", 4),
    Goal("bias_act, forward and backward", "bias_act-cpu", ".", "both_ratio", 5),
    Goal("upfirdn2d, blur, channels-last", "upfirdn2d-cpu", "^blur.*NHWC", "forward_ratio", 3),
    Goal("upfirdn2d, blur, NCHW", "upfirdn2d-cpu", "^blur.*NCHW", "forward_ratio", 3),
    Goal("upfirdn2d, halving, channels-last", "upfirdn2d-cpu", "^down.*NHWC", "forward_ratio", 4),
    Goal("upfirdn2d, halving, NCHW", "upfirdn2d-cpu", "^down.*NCHW", "forward_ratio", 4),
    Goal("fused epilogue, forward", "modconv-cpu", "^epilogue", "forward_ratio", 4),
    Goal("demodulation, 32 samples", "modconv-cpu", "^demodulation 32", "forward_ratio", 20),
    Goal("demodulation, 4 samples", "modconv-cpu", "^demodulation 4", "forward_ratio", 3),
    Goal("generator's and discriminators' main step, fp32", "step-main-cpu", "fp32", "iteration_ratio", 1.3),
    Goal("generator's and discriminators' main step, bf16", "step-main-cpu", "bf16", "iteration_ratio", 2),
    Goal("whole SemanticGAN iteration, fp32", "step-cpu", "fp32", "iteration_ratio", 1.5),
    Goal("whole SemanticGAN iteration, bf16", "step-cpu", "bf16", "iteration_ratio", 2.5),
    Goal("distribution loss, forward and backward", "label_stats-cpu", "^loss", "both_ratio", 3),
    Goal("class counts", "label_stats-cpu", "^counts", "forward_ratio", 5),
]
WHY = {
    "bias_act, forward": "Plain torch makes four passes over memory. A layer that stays in the cache costs ours one "
    "copy, and a call's fixed cost shows in the smallest.",
    "upfirdn2d, blur, NCHW": "Rows of 8 and 32 samples are too short for wide vectors. The networks run channels-last.",
    "upfirdn2d, halving, NCHW": "As for blurring.",
    "whole SemanticGAN iteration, fp32": "Convolutions, torch's on both sides, are most of it.",
    "whole SemanticGAN iteration, bf16": "Convolutions, torch's on both sides, are most of it, and the label "
    "discriminator computes in fp32.",
    "distribution loss, forward and backward": "Its definition counts no pixels while ours also gives every class's "
    "count; where those are wanted too, see the rows `stats`.",
}


def section(goal: Goal, rows: list[dict]) -> tuple[str, str]:
    """The goal's line of the table, and a remark where it is missed."""
    ratios = {r["what"]: r[goal.column] for r in rows if r["contender"] == "torch" and re.search(goal.rows, r["what"])}
    if not ratios:
        return f"| {goal.what} | {goal.least:g} | not measured | | | |", ""
    low, high = min(ratios.values()), max(ratios.values())
    short = {what: ratio for what, ratio in ratios.items() if ratio < goal.least}
    met = "met" if not short else f"missed in {len(short)} of {len(ratios)}"
    line = f"| {goal.what} | {goal.least:g} | {low:.2f} | {median(ratios.values()):.2f} | {high:.2f} | {met} |"
    if not short:
        return line, ""
    worst = min(short, key=lambda what: short[what])
    remark = (
        f"- **{goal.what}**: {100 * (1 - low / goal.least):.0f} % short at worst ({worst}). {WHY.get(goal.what, '')}"
    )
    return line, remark.rstrip()


@click.command()
@click.option("--results", type=click.Path(path_type=Path, exists=True), default=HERE / "results")
@click.option("--out", type=click.Path(path_type=Path), default=HERE.parent / "docs" / "performance.md")
def main(results, out):
    reports = {path.stem: json.loads(path.read_text()) for path in sorted(results.glob("*.json"))}
    if not reports:
        raise click.ClickException(f"{results}: no results; run benchmarks/all.py first")
    sections = [section(goal, reports.get(goal.file, {"rows": []})["rows"]) for goal in GOALS]
    lines = [
        "# Performance",
        "",
        "Made by `python benchmarks/report.py`; not edited by hand. Figures say how many times",
    ]
    lines += ["as long plain torch takes, in the slowest layer, the median and the fastest.", ""]
    lines += ["| what | goal | least | median | most | |", "|---|---|---|---|---|---|"]
    lines += [line for line, _ in sections]
    lines += ["", "## What is missed", "", *[remark for _, remark in sections if remark]]
    lines += ["", "## Where it was measured", ""]
    for name, report in reports.items():
        lines.append(f"- {name}: {report['machine']}, {report['threads']} threads, torch {report['torch']}")
    for name, report in reports.items():
        races = [row for row in report["rows"] if row["contender"] != "phases"]
        columns = [c for c in ("forward_ratio", "both_ratio", "iteration_ms", "iteration_ratio") if c in races[0]]
        lines += [
            "",
            f"## {name}",
            "",
            f"| what | contender | {' | '.join(columns)} |",
            "|---" * (2 + len(columns)) + "|",
        ]
        for row in races:
            figures = " | ".join(f"{row[c]:.2f}" if c in row else "" for c in columns)
            lines.append(f"| {row['what']} | {row['contender']} | {figures} |")
    out.write_text("\n".join(lines) + "\n")
    click.echo(f"wrote {out}")


if __name__ == "__main__":
    main()
