"""Does a classifier of defects get better by generated images? The source thesis's Tables 3.1 and A.1.

Its protocol (section 3.3.2): generated images, all of defects, join the train split; validation photographs and
generated samples are fresh in every repeat. One arm more: flips and colour cost nothing, so a GAN has to beat them.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from pumpgan.studies.design import LIGHT, Effort, Study, Table, check_given, gan_of
from pumpgan.studies.stages import Stage, evaluate, generate, paste, select, train

SCORES = ("accuracy", "precision", "recall", "f1")
ADDED = 2000  # images, of the thesis's Table 3.1
SIZES = (1000, 2000, 4000, 6000)  # of its Table A.1


def classification(
    data: Stage,
    effort: Effort,
    *,
    gans: Mapping[str, Stage] | None = None,
    sizes: Sequence[int] = SIZES,
    added: int = ADDED,
    defect: str = "defect",
) -> Study:
    """gans: runs trained elsewhere in place of an arm's own: `stylegan2-ada`, `stylegan2-ada-pasted`. sizes: images
    added in the second table; added: in the first. defect: the class that GANs are trained on images of."""
    given = gans or {}
    check_given(given, ("stylegan2-ada", "stylegan2-ada-pasted"), data)
    defects = select("defects", data, with_class=defect)
    pasted = paste("pasted", data)
    sets = {"stylegan2-ada": [defects], "stylegan2-ada-pasted": [defects, pasted]}

    def judged(arm: str, repeat: int, extra: Sequence[Stage] = (), **config) -> Stage:
        common: dict[str, Any] = dict(preset=effort.preset, steps=effort.steps, seed=repeat)
        run = train(f"classifier-{arm}-{repeat}", "classifier", [data, *extra], **common, **config)
        return evaluate(f"scores-{arm}-{repeat}", run, data)

    def drawn(gan: str, repeat: int, count: int) -> Stage:
        run = gan_of(gan, "stylegan2-ada", sets[gan], effort, given, repeat)
        return generate(f"{gan}-{count}-images-{repeat}", run, count, seed=repeat, image_label="defect")

    repeats = range(effort.repeats)
    arms = {
        "none": [judged("none", r) for r in repeats],
        "weighted sampling": [judged("weighted", r, oversample=added) for r in repeats],
        "flips + colour": [judged("flips+colour", r, **LIGHT) for r in repeats],
        "defect-pasted": [judged("pasted", r, [pasted]) for r in repeats],
        "StyleGAN2-ADA": [judged("gan", r, [drawn("stylegan2-ada", r, added)]) for r in repeats],
        "StyleGAN2-ADA + pasted": [
            judged(f"gan+pasted-{added}", r, [drawn("stylegan2-ada-pasted", r, added)]) for r in repeats
        ],
    }
    by_size = {"0": arms["none"]} | {
        str(size): [judged(f"gan+pasted-{size}", r, [drawn("stylegan2-ada-pasted", r, size)]) for r in repeats]
        for size in sorted(set(sizes))
    }
    return Study(
        "classification",
        [
            Table("3.1", f"classification, {added} images added", arms, "none", SCORES),
            Table("A.1", "StyleGAN2-ADA + pasted", by_size, "0", SCORES, varied="images added"),
        ],
    )
