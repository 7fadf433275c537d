"""Does a segmenter of defects get better by generated pairs? The source thesis's Tables 3.3, A.2 and 4.4.

Its protocols: section 3.3.4 on patches with defects alone; 4.3.4 on patches half of which have defects, GANs trained on
these, generated pairs with defects added.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from pumpgan.studies.design import Effort, Study, Table, check_given, gan_of
from pumpgan.studies.stages import Stage, evaluate, generate, select, train

SCORES = ("iou.defect", "iou.good", "mean_iou")
IMAGE_SCORES = ("images.iou_where_defects", "images.accuracy", "images.precision", "images.recall", "images.f1")
ADDED = 500
SIZES = (500, 1000, 1500)
GANS: dict[str, tuple[str, dict[str, Any]]] = {  # arm -> what the thesis's name for it means
    "SemanticGAN": ("semanticgan", dict(semantic_gradients=False)),
    "ours": ("ours", {}),
    "ours + L_d": ("ours+ld", dict(dist_loss="defect")),
}


def segmentation(
    data: Stage,
    effort: Effort,
    *,
    gans: Mapping[str, Stage] | None = None,
    sizes: Sequence[int] = SIZES,
    added: int = ADDED,
    share: float = 1.0,
) -> Study:
    """share: of images with defects in what is learnt from and judged on: 1 for Table 3.3, 0.5 for 4.4. gans: runs
    trained elsewhere, named semanticgan, ours, ours+ld."""
    given = gans or {}
    check_given(given, [name for name, _ in GANS.values()], data)
    learnt = select("learnt", data, with_class="defect", share=share)

    def judged(arm: str, repeat: int, extra: Sequence[Stage] = ()) -> Stage:
        common: dict[str, Any] = dict(preset=effort.preset, steps=effort.steps, seed=repeat)
        run = train(f"segmenter-{arm}-{repeat}", "segmenter", [learnt, *extra], **common)
        return evaluate(f"scores-{arm}-{repeat}", run, learnt)

    def drawn(gan: str, config: dict, repeat: int, count: int) -> Stage:
        run = gan_of(gan, "semgan", [learnt], effort, given, repeat, **config)
        return generate(f"{gan}-{count}-pairs-{repeat}", run, count, seed=repeat, with_class="defect")

    repeats = range(effort.repeats)
    arms = {"none": [judged("none", r) for r in repeats]} | {
        arm: [judged(f"{gan}-{added}", r, [drawn(gan, config, r, added)]) for r in repeats]
        for arm, (gan, config) in GANS.items()
    }
    half = share < 1
    title = f"segmentation, {added} pairs added" + (f", {100 * share:g} % of images with defects" if half else "")
    tables = [Table("4.4" if half else "3.3", title, arms, "none", IMAGE_SCORES if half else SCORES)]
    if not half:
        gan, config = GANS["ours"]
        by_size = {"0": arms["none"]} | {
            str(size): [judged(f"{gan}-{size}", r, [drawn(gan, config, r, size)]) for r in repeats]
            for size in sorted(set(sizes))
        }
        tables.append(Table("A.2", "ours", by_size, "0", SCORES, varied="pairs added"))
    return Study("segmentation", tables)
