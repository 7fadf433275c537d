"""Training of StyleGAN2-ADA: images alone, from few of them, with or without image labels as conditions.

Recipe: Karras et al. 2020, arXiv:2006.06676.
"""

from collections.abc import Callable
from typing import Any

from torch import Tensor

from pumpgan.losses.adversarial import generator_nonsaturating
from pumpgan.train.gan import (
    SHARED_PHASES,
    Gan,
    Step,
    augment_phase,
    average_phase,
    image_discriminator_phase,
    image_r1_phase,
    path_length_phase,
)
from pumpgan.train.learner import Phase, frozen, update


class Stylegan2Ada(Gan):
    def phases(self) -> list[tuple[Phase, Callable[[Any], int]]]:
        return PHASES


def generator_phase(gan: Stylegan2Ada, step: Step) -> dict[str, Tensor]:
    fakes = step.fakes(gan, with_graph=True).images
    with frozen(gan.image_discriminator):
        loss = generator_nonsaturating(gan.image_discriminator(gan.augment(fakes)[0], conditions=step.conditions))
        update(gan, generator_phase, gan.generator_optimizer, loss)
    return {"loss/generator": loss}


ORDER: tuple[Phase, ...] = (
    image_discriminator_phase,
    image_r1_phase,
    generator_phase,
    path_length_phase,
    average_phase,
    augment_phase,
)
PHASES = [(phase, SHARED_PHASES.get(phase, lambda config: 1)) for phase in ORDER]
