"""The source thesis's tables, as printed, to stand beside what a study finds; and what is to be minded in each.

Ting-Yu Chen, "Industrial Image Synthesis for Dataset Augmentation", master's thesis, ETH Zurich, 15 November 2021.
Its pump photographs are not public. So on other data a table can be matched in shape, in what is better than what, and
not number by number.
"""

from dataclasses import dataclass
from typing import Any

PUMP = "The pump photographs are private: on other data only the order of the rows can be matched, not the figures."
MEANS = "Means of three repeats; the thesis gives no spread, so it is unknown which differences are chance."
CHECKPOINT = (
    "Each method's checkpoint of the best FID, one run each. Between checkpoints 2,000 iterations apart the presence "
    "of defects moves by up to 25 points (table C.2), so a row is one draw of many."
)
GENERAL = (
    "Defects are said to be under 0.05 % of a photograph's pixels. 5 % of patches times 2.5 % of their pixels is "
    "0.066 % of a photograph (its centre crop is 52 % of it); these shares of patches are what is reproduced.",
    "The adversarial losses are printed in the saturating form and said to be SemanticGAN's, which are not: softplus, "
    "hinge and feature matching, as published with SemanticGAN, are used.",
    "How the distribution loss counts a class's pixels differentiably is not told; nor is its weight.",
)
"""What is to be minded in the thesis whatever the table."""


@dataclass(frozen=True)
class ThesisTable:
    """A printed table.

    number: as in the thesis. title: what it shows. columns: the first heads the names of the rows.
    rows: a name, then a figure a column, None where the thesis has none.
    cautions: what a reader must know, in whole sentences.
    misprints: (row, column) of figures that cannot be right.
    """

    number: str
    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str | float | None, ...], ...]
    cautions: tuple[str, ...] = ()
    misprints: tuple[tuple[str, str], ...] = ()

    def figure(self, row: str, column: str) -> float | None:
        """As printed, None where the thesis has none or a misprint. ValueError for another row or column."""
        names = [str(line[0]) for line in self.rows]
        if row not in names or column not in self.columns[1:]:
            raise ValueError(
                f"thesis table {self.number}: has rows {', '.join(names)} and columns {', '.join(self.columns[1:])}, "
                f"got {row!r}, {column!r}"
            )
        value = self.rows[names.index(row)][self.columns.index(column)]
        return None if (row, column) in self.misprints or not isinstance(value, float) else value

    def shown_rows(self) -> list[list[str | float | None]]:
        """The rows for a reader: what cannot be right is followed by a question mark."""
        return [
            [
                f"{value} ?" if (str(row[0]), column) in self.misprints else value
                for column, value in zip(self.columns, row, strict=True)
            ]
            for row in self.rows
        ]

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready: number, title, columns, rows, cautions, misprints."""
        return {
            "number": self.number,
            "title": self.title,
            "columns": list(self.columns),
            "rows": [list(row) for row in self.rows],
            "cautions": list(self.cautions),
            "misprints": [list(cell) for cell in self.misprints],
        }


CLASSIFIED = ("accuracy", "precision", "recall", "F1")
OVERLAPS = ("IoU defects", "IoU healthy", "mean IoU")
CHECKPOINTS = ("136K", "138K", "140K", "142K", "144K")
FACE_CLASSES = ("skin", "hair", "eyes", "ears", "brows", "nose", "mouth", "earrings", "glasses", "hat")

_TABLES = (
    ThesisTable(
        "3.1",
        "classification of pump patches by a ResNet-18, by what was added to the training set",
        ("augmentation", *CLASSIFIED),
        (
            ("none", 0.9401, 0.2837, 0.1194, 0.1668),
            ("weighted sampling", 0.9365, 0.2854, 0.1730, 0.2152),
            ("defect-pasted", 0.9154, 0.2217, 0.2588, 0.2317),
            ("StyleGAN2-ADA", 0.9313, 0.3105, 0.2960, 0.3030),
            ("ours", 0.9279, 0.3201, 0.3699, 0.3402),
        ),
        (
            PUMP,
            MEANS,
            "10,304 test patches, 519 with defects; 2,000 images added, of a StyleGAN2-ADA trained without (FID 19.66) "
            "and with pasted patches (ours, FID 16.05). These FIDs are of StyleGAN2's recipe; those of tables 4.1 and "
            "4.3 probably are not, and the two scales cannot be compared.",
            "Calling every patch good has accuracy 0.9496, above every row: accuracy says nothing here.",
        ),
    ),
    ThesisTable(
        "3.2",
        "labels drawn by the GAN, pump patches with defects",
        ("method", "images with defects %", "pixels of defects %", "earth-mover's distance"),
        (
            ("real", 100.0, 2.52, None),
            ("SemanticGAN", 90.98, 0.96, 0.016),
            ("ours", 99.38, 1.56, 0.011),
        ),
        (
            PUMP,
            "The distance is between the images' shares of defect pixels, as fractions of 1: it cannot be smaller than "
            "the difference of the mean shares (0.0156 and 0.0096), and nearly all of it is that difference.",
        ),
    ),
    ThesisTable(
        "3.3",
        "segmentation of pump patches with defects",
        ("method", *OVERLAPS),
        (
            ("none", 0.5246, 0.9869, 0.7558),
            ("SemanticGAN", 0.5057, 0.9854, 0.7456),
            ("ours", 0.5234, 0.9866, 0.7550),
        ),
        (
            PUMP,
            MEANS,
            "No generated set is better than none here.",
            "The encoder is given as squeeze-and-excitation, without a name.",
        ),
    ),
    ThesisTable(
        "4.1",
        "labels and images drawn by the GAN, faces at 64 px",
        ("method", "images with earrings %", "pixels of earrings %", "FID"),
        (
            ("real", 34.45, 0.31, None),
            ("SemanticGAN", 15.15, 0.04, 8.12),
            ("ours without L_d", 42.66, 0.13, 8.79),
            ("ours, L_d on all", 35.67, 0.03, 8.31),
            ("ours, L_d on earring", 47.34, 0.19, 8.04),
        ),
        (
            "The text says that earrings are in under 30 % of images, the table 34.45: they cannot be of the same "
            "images.",
            "FID is probably of SemanticGAN's recipe (torchvision's Inception, 10,000 images), another scale than "
            "StyleGAN2's: the two cannot be compared.",
            "Each method's checkpoint of the best FID, one run each.",
            "Presence without pixels misleads: L_d on all meets the presence with a tenth of the pixels, as crumbs.",
        ),
    ),
    ThesisTable(
        "4.2",
        "segmentation of faces by encoder and generator, test IoU",
        ("method", *FACE_CLASSES),
        (
            ("SemanticGAN", 0.80, 0.72, 0.44, 0.26, 0.45, 0.72, 0.65, 0.0119, 0.0007, 0.0007),
            ("ours without L_d", 0.83, 0.76, 0.59, 0.29, 0.48, 0.78, 0.76, 0.0198, 0.0028, 0.0003),
            ("ours, L_d on all", 0.83, 0.76, 0.49, 0.25, 0.29, 0.81, 0.77, 0.0066, 0.0002, 0.0001),
            ("ours, L_d on earring", 0.84, 0.76, 0.56, 0.25, 0.39, 0.81, 0.76, 0.0055, 0.0001, 0.0016),
        ),
        (
            "500 test faces, one run each, no spread.",
            "Earrings, glasses and hats are below 0.02 everywhere: no method finds them, and the order of the methods "
            "there is of no account.",
        ),
    ),
    ThesisTable(
        "4.3",
        "labels and images drawn by the GAN, pump patches, half with defects",
        ("method", "images with defects %", "pixels of defects %", "FID"),
        (
            ("real", 48.70, 1.26, None),
            ("SemanticGAN", 46.49, 0.31, 49.41),
            ("ours without L_d", 56.48, 0.52, 48.35),
            ("ours with L_d", 73.19, 0.73, 45.68),
        ),
        (
            PUMP,
            CHECKPOINT,
            "FID is probably of SemanticGAN's recipe: it cannot be compared with the 16.05 and 19.66 of StyleGAN2's.",
            "With L_d the target was twice the real mean and variance, so more than real was asked for.",
        ),
    ),
    ThesisTable(
        "4.4",
        "segmentation of pump patches, half of them healthy",
        ("method", "mIoU defects", *CLASSIFIED),
        (
            ("none", 0.4844, 0.8480, 0.7943, 0.9191, 0.8521),
            ("SemanticGAN", 0.4696, 0.8382, 0.7857, 0.9114, 0.8439),
            ("ours without L_d", 0.4927, 0.8451, 0.7927, 0.9162, 0.8512),
            ("ours with L_d", 0.4921, 0.8376, 0.7741, 0.9315, 0.8455),
        ),
        (
            PUMP,
            MEANS,
            "Ours without L_d: F1 0.8512 cannot belong to precision 0.7927 and recall 0.9162. Over repeats, mean F1 is "
            "at most the F1 of the means, 0.8500. One of the three is a misprint, which is not known.",
            "The figures do not fit the thesis's wording of true and false; they nearly fit that a patch is positive "
            "where defects are predicted, and rightly so where prediction and target overlap.",
            "No accuracy is a whole number of 3 x 1,021 patches, to four decimals: how the repeats were counted is not "
            "known. (All four would be of 5 x 1,021.)",
        ),
        (("ours without L_d", "F1"),),
    ),
    ThesisTable(
        "A.1",
        "classification of pump patches (table 3.1, ours), by number of generated images added",
        ("size", *CLASSIFIED),
        (
            ("0", 0.9401, 0.2837, 0.1194, 0.1668),
            ("1000", 0.9273, 0.2968, 0.3192, 0.3603),
            ("2000", 0.9279, 0.3201, 0.3699, 0.3402),
            ("4000", 0.9169, 0.2884, 0.4348, 0.3449),
            ("6000", 0.8931, 0.2265, 0.4503, 0.2978),
        ),
        (
            PUMP,
            MEANS,
            "Size 1000: F1 0.3603 is impossible. Over repeats, mean F1 is at most the F1 of mean precision and mean "
            "recall, 0.3076. Accuracy, precision and recall of the row agree with each other, so it is F1 that is "
            "misprinted; treat it as unknown. The best size of the table thus is 4000, or 2000, not 1000.",
        ),
        (("1000", "F1"),),
    ),
    ThesisTable(
        "A.2",
        "segmentation of pump patches with defects (table 3.3, ours), by number of generated pairs added",
        ("size", *OVERLAPS),
        (
            ("0", 0.5246, 0.9869, 0.7558),
            ("500", 0.5234, 0.9866, 0.7550),
            ("1000", 0.5109, 0.9852, 0.7481),
            ("1500", 0.3453, 0.9510, 0.6481),
        ),
        (PUMP, MEANS),
    ),
    ThesisTable(
        "C.1",
        "pixels of defects %, pump patches, half with defects, by checkpoint",
        ("method", *CHECKPOINTS),
        (
            ("SemanticGAN", 0.56, 0.30, 0.31, 0.45, 0.29),
            ("ours without L_d", 0.60, 0.52, 0.66, 0.65, 0.52),
            ("ours with L_d", 0.63, 0.69, 0.65, 0.61, 0.73),
        ),
        (PUMP, "Real: 1.26. One run each; table 4.3 takes 140K, 144K and 144K, the best FID of each method."),
    ),
    ThesisTable(
        "C.2",
        "images with defects %, pump patches, half with defects, by checkpoint",
        ("method", *CHECKPOINTS),
        (
            ("SemanticGAN", 65.63, 40.53, 46.49, 54.24, 40.34),
            ("ours without L_d", 57.46, 56.47, 61.86, 59.83, 56.48),
            ("ours with L_d", 69.51, 63.76, 66.96, 67.59, 73.19),
        ),
        (PUMP, "Real: 48.70. One run each; table 4.3 takes 140K, 144K and 144K, the best FID of each method."),
    ),
)
TABLES = {table.number: table for table in _TABLES}
