"""What the benchmarks should show, as data: which rows of which results, which column, at least or at most how much.

WHY says, for a goal that is missed, what stands in the way.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median

PEERS = ("stylegan2-ada", "stylegan2-ada-tuned", "semanticgan")  # names that --peer gives to other people's code
SG2 = "stylegan2-ada"
HALF = "(float16|bfloat16)$"


@dataclass(frozen=True)
class Goal:
    number: str
    what: str
    file: str  # stem of a file of results
    rows: str  # regular expression found in the row's "what"
    column: str
    bound: float
    contender: str = "torch"  # whose row: another's ratio says how many times as long it takes as ours
    at_most: bool = False


@dataclass(frozen=True)
class Outcome:
    goal: Goal
    values: Mapping[str, float]  # a row's "what" -> its figure; empty where nothing was measured

    @property
    def worst(self) -> str:
        choose = max if self.goal.at_most else min
        return choose(self.values, key=lambda what: self.values[what])

    @property
    def range(self) -> tuple[float, float, float]:
        """Least, median, most."""
        return min(self.values.values()), median(self.values.values()), max(self.values.values())

    @property
    def missed(self) -> list[str]:
        bound = self.goal.bound
        return [w for w, value in self.values.items() if (value > bound if self.goal.at_most else value < bound)]

    def scores(self) -> list[float]:
        """Each value in units of the goal, 1 or more where it is met."""
        return [self.goal.bound / v if self.goal.at_most else v / self.goal.bound for v in self.values.values()]


def outcome(goal: Goal, reports: Mapping[str, dict]) -> Outcome:
    """reports: stem -> a file of results."""
    rows = reports.get(goal.file, {"rows": []})["rows"]
    chosen = [r for r in rows if r.get("contender") == goal.contender and re.search(goal.rows, r["what"])]
    return Outcome(goal, {r["what"]: r[goal.column] for r in chosen if r.get(goal.column) is not None})


def _copied(number: str, what: str, file: str, rows: str, percent: float, stages=("forward", "both")) -> list[Goal]:
    """Shares of the speed of a copy that ran in turns with it."""
    names = {"forward": "forward", "both": "forward and backward"}
    return [
        Goal(number, f"{what}, {names[s]}: % of copy", file, rows, f"{s}_copy_percent", percent, "pumpgan")
        for s in stages
    ]


CPU_GOALS = [
    Goal("1", "bias_act, forward", "bias_act-cpu", ".", "forward_ratio", 4),
    Goal("1", "bias_act, forward and backward", "bias_act-cpu", ".", "both_ratio", 5),
    Goal("2", "upfirdn2d, blur, channels-last", "upfirdn2d-cpu", "^blur.*NHWC", "forward_ratio", 3),
    Goal("2", "upfirdn2d, blur, NCHW", "upfirdn2d-cpu", "^blur.*NCHW", "forward_ratio", 3),
    Goal("2", "upfirdn2d, halving, channels-last", "upfirdn2d-cpu", "^down.*NHWC", "forward_ratio", 4),
    Goal("2", "upfirdn2d, halving, NCHW", "upfirdn2d-cpu", "^down.*NCHW", "forward_ratio", 4),
    Goal("3", "fused epilogue, forward", "modconv-cpu", "^epilogue", "forward_ratio", 4),
    Goal("3", "up-convolution's epilogue, forward", "modconv-cpu", "^blurred epilogue", "forward_ratio", 4),
    Goal("4", "demodulation, 32 samples", "modconv-cpu", "^demodulation 32", "forward_ratio", 20),
    Goal("4", "demodulation, 4 samples", "modconv-cpu", "^demodulation 4", "forward_ratio", 3),
    *[  # neither peer computes in bf16 on a CPU
        Goal(number, f"{what}, ours in {precision}", f"{file}-main-cpu", precision, "iteration_ratio", bound, peer)
        for number, what, file, peer, bounds in (
            ("5", "G and D main step, to stylegan2-ada in fp32", "step-ada", SG2, (1.3, 2.0)),
            ("6", "three main steps, to semanticgan in fp32", "step-semgan", "semanticgan", (1.5, 2.5)),
        )
        for precision, bound in zip(("fp32", "bf16"), bounds, strict=True)
    ],
    Goal("7", "distribution loss, forward and backward", "label_stats-cpu", "^loss", "both_ratio", 3),
    Goal("7", "class counts", "label_stats-cpu", "^counts", "forward_ratio", 5),
]
LARGE = "^(32 128 128 128|16 64 256 256) "  # from 128 MiB on in half precision
CUDA_GOALS = [
    *_copied("8", "bias_act", "bias_act-cuda", LARGE, 85),
    *_copied("8", "epilogue", "modconv-cuda", "^epilogue 32 128 128px", 85),
    Goal(
        "8", "bias_act fp16, forward, to stylegan2-ada", "bias_act-cuda", LARGE + ".*float16", "forward_ratio", 1.5, SG2
    ),
    Goal("8", "bias_act fp16, both, to stylegan2-ada", "bias_act-cuda", LARGE + ".*float16", "both_ratio", 1.5, SG2),
    *_copied("9", "upfirdn2d half", "upfirdn2d-cuda", "^(blur|down) 32 128 128 128 NHWC " + HALF, 80, ("forward",)),
    Goal(
        "9",
        "upfirdn2d fp16, to stylegan2-ada",
        "upfirdn2d-cuda",
        "^(blur|down) .*NHWC float16",
        "forward_ratio",
        3,
        SG2,
    ),
    *_copied("10", "up-convolution's epilogue", "modconv-cuda", "^blurred epilogue", 80, ("forward",)),
    Goal("10", "the same, to stylegan2-ada's three", "modconv-cuda", "^blurred epilogue", "forward_ratio", 4, SG2),
    Goal(
        *("11", "modulated layer, % of its product's speed", "modconv-cuda"),
        *("^layer 32 (256|512)>(256|512) (32|64)px.* " + HALF, "both_floor_percent", 60, "pumpgan"),
    ),
    Goal("11", "modulated layer fp16, to stylegan2-ada", "modconv-cuda", " (16|32)px.* float16", "both_ratio", 2, SG2),
    Goal("12", "launches an iteration", "step-ada-64-cuda", "32 bf16", "launches", 3, "pumpgan", True),
    Goal("12", "GPU busy, %", "step-ada-64-cuda", "32 bf16", "gpu_busy_percent", 95, "pumpgan"),
    Goal("12", "graphs to launches one by one", "step-ada-64-cuda", "32 bf16", "iteration_ratio", 1.3, "eager"),
    *[
        Goal("13", f"StyleGAN2-ADA at {r} px, to {name}", f"step-ada-{r}-cuda", ".", "iteration_ratio", bound, peer)
        for name, peer, bound in (("stylegan2-ada", SG2, 2.5), ("its best flags", "stylegan2-ada-tuned", 1.8))
        for r in (64, 128, 256)
    ],
    Goal("13", "the same at 64 px, augmented", "step-ada-augmented-cuda", ".", "iteration_ratio", 3, SG2),
    *[
        Goal("14", f"StyleGAN2-ADA at {r} px, {column}", f"step-ada-{r}-cuda", "batch 64 bf16", key, bound, "pumpgan")
        for r, percent, speed in ((64, 50, 1900), (128, 50, 1300), (256, 45, 890))
        for column, key, bound in (
            ("% of its products' speed", "floor_percent", percent),
            ("images/s", "images_per_second", speed),
        )
    ],
    Goal("15", "SemanticGAN at 64 px, to semanticgan", "step-semgan-cuda", "bf16", "iteration_ratio", 4, "semanticgan"),
    Goal("15", "SemanticGAN at 64 px, images/s", "step-semgan-cuda", "bf16", "images_per_second", 750, "pumpgan"),
    *_copied("16", "distribution loss", "label_stats-cuda", "^loss 32 8 256px", 80, ("both",)),
    Goal("16", "distribution loss, same bits twice", "label_stats-cuda", "^loss", "same_bits", 1, "pumpgan"),
    Goal("17", "peak memory of stylegan2-ada to ours", "step-ada-128-cuda", "batch 32", "memory_ratio", 1 / 0.6, SG2),
]
WHY = {
    "bias_act, forward": "Plain torch passes over memory about four times, ours once: on large layers ours takes a "
    "copy's time or little more, and a ratio of 4 would mean beating a copy. On small ones a call's fixed cost shows.",
    "bias_act, forward and backward": "The least is 2.5 copies, ours takes 2.5 to 3.6 of them on large layers; the "
    "smallest, of 8x8 pixels, are calls more than work.",
    "upfirdn2d, blur, channels-last": "Met at 128 px; layers of 8 and 32 px stay in the cache, for plain torch too, "
    "and a call's fixed cost shows.",
    "upfirdn2d, halving, channels-last": "As for blurring.",
    "upfirdn2d, blur, NCHW": "Small planes are copied onto and off a padded sheet, on which vectors run over many "
    "rows. The networks run channels-last.",
    "upfirdn2d, halving, NCHW": "As for blurring.",
    "distribution loss, forward and backward": "A power of e is needed once forward and once backward and fills the "
    "arithmetic units for about half of the time; reading logits and writing their gradient is most of the rest. Ours "
    "also counts each class's pixels, which its definition does not.",
    "class counts": "Only maps of 32 px, channels-last, whose fixed cost shows.",
    "G and D main step, to stylegan2-ada in fp32, ours in fp32": "What is left is torch's convolutions, which both "
    "call: ours already takes less than its products would as one large one.",
    "three main steps, to semanticgan in fp32, ours in fp32": "As for stylegan2-ada.",
}
