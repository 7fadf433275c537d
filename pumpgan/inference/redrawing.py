"""The best network of an encoder's run, which redraws what it is shown, by refinement if need be, and so labels it."""

from pathlib import Path

import torch
from torch import Tensor

from pumpgan.inference.predictor import Predictor
from pumpgan.inference.refine import STARTS, STEPS
from pumpgan.inference.refine import refine as descend
from pumpgan.models.encoder import Redrawer
from pumpgan.models.perceptual import NONE, load_perceptual


class Redrawing(Predictor):
    """Answers with the labels of what its generator draws, and with that."""

    network: Redrawer

    def __init__(
        self,
        run: Path,
        *,
        refine: int | None = None,
        start: str = STARTS[0],
        perceptual: str | None = None,
        checkpoint: int | None = None,
        device: torch.device | None = None,
    ):
        """refine: steps of latent refinement; 0: what the encoder says counts; None: 100 with LPIPS or from another
        start, else 0, since squared error alone brings labels nothing. start: where they begin, encoder or mean.
        perceptual: file of VGG-16's weights for LPIPS, or none; None: what the run was trained with.

        Raises as `Predictor` does, and for a file that is not right.
        """
        if start not in STARTS:
            raise ValueError(f"start: must be {' or '.join(STARTS)}, got {start!r}")
        if refine is not None and (refine < 0 or (not refine and start != STARTS[0])):
            raise ValueError(
                f"refine: must be at least 0 steps, and from a start at the {start} at least 1, got {refine}"
            )
        super().__init__(run, checkpoint=checkpoint, device=device)
        chosen = self.record.config.perceptual if perceptual is None else perceptual
        if refine is None:
            refine = STEPS if chosen != NONE or start != STARTS[0] else 0
        self.steps, self.start = refine, start
        self.perceptual = load_perceptual(chosen, self.device) if refine else None

    def answer(self, images: Tensor) -> Tensor:
        """Images uint8 [N, C, H, W] -> float [N, classes + C, H, W] on the CPU: class probabilities, softmax of the
        label logits over the run's `entropy_temperature`, and the redrawn images, 0 to 1."""
        answers = []
        for some in images.split(self.record.config.batch):
            shown = some.to(self.device).float() / 127.5 - 1
            if self.steps:
                drawn = descend(
                    self.network.generator,
                    self.network.encoder,
                    shown,
                    perceptual=self.perceptual,
                    steps=self.steps,
                    start=self.start,
                ).drawn
            else:
                with torch.no_grad(), self.autocast():
                    drawn = self.network.redraw(shown)
            probabilities = (drawn.labels.float() / self.network.temperature).softmax(dim=1)
            redrawn = (drawn.images.float().clamp(-1, 1) + 1) / 2
            answers.append(torch.cat([probabilities, redrawn], dim=1).cpu())
        return torch.cat(answers)
