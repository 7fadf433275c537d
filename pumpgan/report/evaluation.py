"""One evaluation of a downstream model: its figures for a terminal, its curve and confusions as files."""

import json
from pathlib import Path
from typing import Any

from pumpgan.report.confusion import confusion_rows
from pumpgan.report.curves import draw_precision_recall
from pumpgan.report.table import as_csv, as_markdown, as_text

IMAGE_LEVELS = {
    "image_level": "images (a defect is predicted where one is)",
    "image_level_thesis": "images, as the source thesis counts (a prediction is right where it meets the defect)",
}


def table(result: dict[str, Any]) -> str:
    """The scores of an evaluation as aligned text. result: what evaluations.jsonl holds."""
    scores = result["scores"]
    names = result.get("classes") or ["good", "defect"]
    lines = [f"{name:<24}{shown(value)}" for name, value in scores.items() if not isinstance(value, dict)]
    by_class = [name for name in ("iou", "dice", "iou_per_image") if name in scores]
    if by_class:
        width = max(len(name) for name in names) + 2
        lines.append("".join([" " * width, *(f"{heading:>15}" for heading in by_class)]))
        lines += [
            "".join([f"{name:<{width}}", *(f"{shown(scores[heading][name]):>15}" for heading in by_class)])
            for name in names
        ]
    for title, counts, figures in confusions(scores):
        if title:
            rest = [f"{name} {shown(value)}" for name, value in figures.items() if name != "confusion"]
            lines += [f"{title}: {', '.join(rest)}"]
        lines.append(as_text(confusion_rows(counts, two_names(result))))
    return "\n".join(lines)


def two_names(result: dict[str, Any]) -> list[str]:
    """Of what a confusion tells apart: a run's classes where these are two."""
    names = result.get("classes") or []
    return names if len(names) == 2 else ["good", "defect"]


def shown(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def confusions(scores: dict[str, Any]) -> list[tuple[str, dict[str, int], dict[str, Any]]]:
    """(title, counts, the figures that go with them) of every confusion in an evaluation's scores."""
    found = [("", scores["confusion"], scores)] if "confusion" in scores else []
    return found + [
        (title, scores[name]["confusion"], scores[name]) for name, title in IMAGE_LEVELS.items() if name in scores
    ]


def draw(folder: Path) -> None:
    """Writes precision-recall.png and confusion.md, .csv beside an evaluation's scores.json, as far as it has them."""
    path = folder / "scores.json"
    try:
        result = json.loads(path.read_text())
        scores, curve = result["scores"], result["curve"]
    except (ValueError, KeyError) as error:
        raise ValueError(f"{path}: is cut short or no evaluation ({error}); evaluate again") from error
    if curve:
        key = "average_precision" if "average_precision" in scores else "pixel_average_precision"
        name = f"{result['kind']}, {'images' if key == 'average_precision' else 'pixels'}"
        title = f"{Path(result['data']).name} ({result['split']})"
        curves = {name: curve | {"average_precision": scores[key]}}
        draw_precision_recall(curves, folder / "precision-recall.png", title=title)
    tables = [(title, confusion_rows(counts, two_names(result))) for title, counts, _ in confusions(scores)]
    if tables:
        pages = [f"{title}\n\n{as_markdown(rows)}\n" if title else f"{as_markdown(rows)}\n" for title, rows in tables]
        (folder / "confusion.md").write_text("\n".join(pages))
        (folder / "confusion.csv").write_text(as_csv(tables[0][1]))
