"""Training of SemanticGAN: what a run holds, and the phases of a step.

Recipe: Li et al. 2021, arXiv:2104.05833. R1 reaches both discriminators; the label discriminator's gradient reaches the
image branch unless `semantic_gradients` is off.
"""

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor

from pumpgan.data.stream import Batch
from pumpgan.losses.adversarial import (
    discriminator_hinge,
    feature_matching,
    generator_hinge,
    generator_nonsaturating,
    r1_penalty,
)
from pumpgan.models.discriminators import LabelDiscriminator, signed_one_hot
from pumpgan.train.config import SemganConfig
from pumpgan.train.distribution import ShareControl
from pumpgan.train.gan import (
    SHARED_PHASES,
    Gan,
    Step,
    augment_phase,
    average_phase,
    image_discriminator_phase,
    image_r1_phase,
    lazy_adam,
    path_length_phase,
)
from pumpgan.train.learner import Phase, Task, finish, frozen, update


class Semgan(Gan):
    NETWORKS = (*Gan.NETWORKS, "label_discriminator")
    OPTIMIZERS = (*Gan.OPTIMIZERS, "label_optimizer")
    config: SemganConfig

    def __init__(
        self, config: SemganConfig, task: Task, control: ShareControl, device: torch.device, dtype: torch.dtype
    ):
        super().__init__(config, task, device, dtype)
        self.control = control
        self.label_discriminator = LabelDiscriminator(task.channels, len(task.classes), base=config.patch_base)
        self.label_discriminator.to(device)
        self.label_optimizer = lazy_adam(
            self.label_discriminator,
            config.discriminator_rate,
            config.beta2,
            config.r1_every if config.label_gamma else 0,
        )

    def phases(self) -> list[tuple[Phase, Callable[[Any], int]]]:
        return PHASES

    def statistics(self) -> dict[str, Tensor]:
        return super().statistics() | {f"control.{k}": v for k, v in self.control.state.items()}

    def load_statistics(self, rest: dict[str, Tensor]) -> None:
        super().load_statistics(rest)
        self.control.state = {k: rest[f"control.{k}"].to(v.device) for k, v in self.control.state.items()}

    def step_of(self, *batches: Batch) -> Step:
        """Batches: what the image discriminator sees, and images with labels."""
        real, with_labels = batches
        hot = signed_one_hot(cast(Tensor, with_labels.labels), len(self.task.classes))
        return Step(real.images, with_labels.images, hot)

    def figures(self) -> dict[str, float]:
        """Also presence and pixels of each class in the last generated labels."""
        values = super().figures()
        for name, (presence, share) in self.control.drawn().items():
            values[f"labels/{name}/presence_percent"] = 100 * presence
            values[f"labels/{name}/pixels_percent"] = 100 * share
        return values

    def alarms(self) -> list[str]:
        return super().alarms() + self.control.alarms(self.images)


# Phases ---------------------------------------------------------------------------------------------------


def labelled(step: Step) -> tuple[Tensor, Tensor]:
    """Real images and their one-hot labels."""
    return cast(Tensor, step.labelled_images), cast(Tensor, step.labels)


def label_discriminator_phase(gan: Semgan, step: Step) -> dict[str, Tensor]:
    fakes = step.fakes(gan, with_graph=False)
    real_images, real_labels = labelled(step)
    both = gan.augment(torch.cat([real_images, fakes.images]), torch.cat([real_labels, fakes.labels]))
    scores = [scale.chunk(2) for scale in gan.label_discriminator(*both).scores]
    loss = discriminator_hinge([real for real, _ in scores], [fake for _, fake in scores])
    update(gan, label_discriminator_phase, gan.label_optimizer, loss)
    return {"loss/label_discriminator": loss}


def label_r1_phase(gan: Semgan, step: Step) -> dict[str, Tensor]:
    if not gan.config.label_gamma:
        return {}
    inputs = [t.detach().requires_grad_(True) for t in labelled(step)]
    scores = gan.label_discriminator(*gan.augment(*inputs)).scores
    score = torch.stack([s.flatten(1).mean(dim=1) for s in scores]).sum(dim=0)  # [B]
    if gan.config.label_r1 == "batch":
        score = score / len(score)  # of a mean over the batch each sample holds 1/B
    penalty = r1_penalty(score, inputs)
    update(gan, label_r1_phase, gan.label_optimizer, penalty * (gan.config.label_gamma / 2) * gan.config.r1_every)
    return {"loss/label_r1": penalty}


def generator_phase(gan: Semgan, step: Step) -> dict[str, Tensor]:
    drawn = step.fakes(gan, with_graph=True)
    # The discriminators' gradient is taken at the drawn images and labels, where the distribution loss is weighed
    # against it; both then go through the generator at once.
    images, labels = (t.detach().requires_grad_(True) for t in drawn)
    with frozen(gan.image_discriminator, gan.label_discriminator):
        seen, seen_labels = gan.augment(images, labels)
        realism = generator_nonsaturating(gan.image_discriminator(seen))
        judged = gan.label_discriminator(seen if gan.config.semantic_gradients else seen.detach(), seen_labels)
        with torch.no_grad():
            real = gan.label_discriminator(*gan.augment(*labelled(step)))
        agreement = generator_hinge(judged.scores)
        matching = feature_matching(judged.features, real.features)
        loss = realism + agreement + gan.config.feature_matching * matching
        grad_images, grad_labels = torch.autograd.grad(loss, (images, labels))
    pull, scalars = gan.control.gradient(labels, grad_labels, step=gan.step, images=gan.images)
    if pull is not None:
        grad_labels = grad_labels + pull
    gan.generator_optimizer.zero_grad(set_to_none=True)
    torch.autograd.backward((drawn.images, drawn.labels), (grad_images, grad_labels))
    finish(gan, generator_phase, gan.generator_optimizer, loss)
    return {"loss/generator": loss, "loss/agreement": agreement, "loss/feature_matching": matching, **scalars}


ORDER: tuple[Phase, ...] = (
    image_discriminator_phase,
    image_r1_phase,
    label_discriminator_phase,
    label_r1_phase,
    generator_phase,
    path_length_phase,
    average_phase,
    augment_phase,
)
OWN: dict[Phase, Callable[[Any], int]] = {label_r1_phase: lambda config: config.r1_every}
PHASES = [(phase, (OWN | SHARED_PHASES).get(phase, lambda config: 1)) for phase in ORDER]
