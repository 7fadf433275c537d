"""Adaptive discriminator augmentation during training: how often transforms act, and how it is found out.

Karras et al. 2020, arXiv:2006.06676: p rises while the discriminator is too sure of real images and falls otherwise.
"""

import torch
from torch import Tensor

from pumpgan.augment.adaptive import apply, draw
from pumpgan.train.config import GanConfig

ADJUST_EVERY = 4  # steps
SURE = 0.95  # mean sign of real logits from which on the discriminator has won
INDIFFERENT = 0.02  # mean difference of real and drawn logits below which it has given up
RATE = 0.01  # of the running mean behind that judgement: some 100 steps


class AugmentControl:
    """Transforms what the discriminators see, real and generated alike, and moves its probability p.

    Everything it changes lives on the device, so that a step waits for nothing.
    """

    def __init__(self, config: GanConfig, device: torch.device):
        self.config = config
        self.state = {
            "p": torch.tensor(0.0 if config.augment == "none" else config.augment_p, device=device),
            "signs": torch.zeros(2, device=device),  # sum and number of the real logits' signs since p last moved
            "confidence": torch.zeros([], device=device),  # running mean of those signs
            "gap": torch.ones([], device=device),  # running mean of real minus drawn logits
            "at_most": torch.zeros([], device=device),  # running share of adjustments that left p at its highest
        }

    def __call__(self, images: Tensor, labels: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """images [N, C, H, W] and, warped alike, labels [N, classes, H, W]: each sample by a transform of its own."""
        if self.config.augment == "none":
            return images, labels
        n, channels, height, width = images.shape
        drawn = draw(self.config.augment_pipe, n, (height, width), channels, self.state["p"], device=images.device)
        if labels is None:
            return apply(drawn, images), None
        return apply(drawn, images, labels)

    def note(self, real_logits: Tensor, fake_logits: Tensor) -> None:
        """[N] each: the image discriminator's of real and of drawn images, as it saw them."""
        signs = real_logits.detach().sign()
        total = signs.sum()
        self.state["signs"] = self.state["signs"] + torch.stack([total, torch.full_like(total, len(signs))])
        self.state["confidence"] = self.state["confidence"].lerp(signs.mean(), RATE)
        gap = real_logits.detach().mean() - fake_logits.detach().mean()
        self.state["gap"] = self.state["gap"].lerp(gap, RATE)

    def adjust(self, batch: int) -> None:
        """Once in ADJUST_EVERY steps of `batch` images: p moves towards what keeps the signs' mean at its target."""
        total, count = self.state["signs"]
        if self.config.augment == "ada":
            step = batch * ADJUST_EVERY / (self.config.augment_kimg * 1000)
            direction = (total / count.clamp_min(1) - self.config.augment_target).sign()
            p = (self.state["p"] + direction * step).clamp(0, self.config.augment_most)
            self.state["at_most"] = self.state["at_most"].lerp((p == self.config.augment_most).to(p.dtype), RATE)
            self.state["p"] = p
        self.state["signs"] = torch.zeros_like(self.state["signs"])

    def figures(self) -> dict[str, Tensor]:
        """What to log."""
        shown = {"scores/real_sign": self.state["confidence"]}
        return shown if self.config.augment == "none" else {"augment/p": self.state["p"], **shown}

    def alarms(self) -> list[str]:
        """Signs that the image discriminator wins, remembering the real images, or that it has given up."""
        confidence, at_most = float(self.state["confidence"]), float(self.state["at_most"])
        found = []
        if confidence > SURE:
            more = "--augment ada" if self.config.augment == "none" else "more images or a larger --r1-gamma"
            found.append(
                f"the image discriminator wins: it is sure of {50 + 50 * confidence:.1f} % of the real images, and the "
                f"generator learns little from it; {more} would help"
            )
        if float(self.state["gap"]) < INDIFFERENT:
            found.append(
                "the image discriminator tells real from drawn images no longer (their logits differ by "
                f"{float(self.state['gap']):.3f}), so the generator learns nothing from it; images of little contrast "
                "do that, as does too large an --r1-gamma"
            )
        if at_most > 0.5 and confidence > self.config.augment_target:
            found.append(
                f"--augment ada has long been at its highest p, {self.config.augment_most:g}, and the discriminator is "
                "still too sure: the images are too few for this long a run; more of them, a larger --r1-gamma, or an "
                "earlier checkpoint would help"
            )
        return found
