"""Training of SemanticGAN: what a run holds, and the phases of a step.

Recipe: Li et al. 2021, arXiv:2104.05833. R1 reaches both discriminators; the label discriminator's gradient reaches the
image branch unless `semantic_gradients` is off.
"""

import copy
import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from pumpgan.losses.adversarial import (
    discriminator_hinge,
    discriminator_logistic,
    feature_matching,
    generator_hinge,
    generator_nonsaturating,
    path_lengths,
    r1_penalty,
)
from pumpgan.models.discriminators import ImageDiscriminator, LabelDiscriminator
from pumpgan.models.generator import Drawn, Generator, Widths
from pumpgan.train.config import SemganConfig
from pumpgan.train.distribution import ShareControl
from pumpgan.train.seeds import derived_seed

NEVER = torch.iinfo(torch.int64).max


def build_generator(config: SemganConfig, channels: int, classes: int) -> Generator:
    return Generator(
        config.resolution,
        channels,
        classes,
        widths=Widths(config.channel_base, config.channel_most, config.channel_least),
        latent_size=config.latent_size,
        style_size=config.style_size,
        depth=config.mapping_depth,
    )


class Semgan:
    """Everything a step changes, and so everything a checkpoint holds."""

    NETWORKS = ("generator", "averaged", "image_discriminator", "label_discriminator")
    OPTIMIZERS = ("generator_optimizer", "image_optimizer", "label_optimizer")

    def __init__(
        self, config: SemganConfig, channels: int, control: ShareControl, device: torch.device, dtype: torch.dtype
    ):
        torch.manual_seed(derived_seed(config.seed, "weights"))
        classes = len(control.names)
        widths = Widths(config.channel_base, config.channel_most, config.channel_least)
        self.config, self.control, self.device = config, control, device
        self.generator = build_generator(config, channels, classes).to(device)
        self.image_discriminator = ImageDiscriminator(config.resolution, channels, widths=widths).to(device)
        self.label_discriminator = LabelDiscriminator(channels, classes, base=config.patch_base).to(device)
        self.generator.dtype = self.image_discriminator.dtype = dtype
        self.averaged = copy.deepcopy(self.generator).requires_grad_(False)
        path = config.path_length_every if config.path_length_weight else 0
        self.generator_optimizer = lazy_adam(self.generator, config.generator_rate, config.beta2, path)
        self.image_optimizer = lazy_adam(
            self.image_discriminator, config.discriminator_rate, config.beta2, config.r1_every
        )
        self.label_optimizer = lazy_adam(
            self.label_discriminator, config.discriminator_rate, config.beta2, config.r1_every
        )
        self.step = 0
        self.path_length_mean = torch.zeros([], device=device)
        # By phase: the first step at which a loss or a gradient was not finite. Stays on the device; read now and then.
        self.first_bad_step = torch.full((len(PHASES),), NEVER, device=device)

    @property
    def images(self) -> int:
        """Real images that the image discriminator has seen."""
        return self.step * self.config.batch

    def tensors(self) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """(networks, optimisers and running statistics), flat, by name."""
        networks = {f"{n}.{k}": v for n in self.NETWORKS for k, v in getattr(self, n).state_dict().items()}
        rest = {f"control.{k}": v for k, v in self.control.state.items()}
        rest["path_length_mean"] = self.path_length_mean
        for name in self.OPTIMIZERS:
            for index, slots in getattr(self, name).state_dict()["state"].items():
                rest |= {f"{name}.{index}.{slot}": value for slot, value in slots.items()}
        return networks, rest

    def load_tensors(self, networks: dict[str, Tensor], rest: dict[str, Tensor], step: int) -> None:
        """The inverse of `tensors`. KeyError or RuntimeError if they are of another configuration."""
        for name in self.NETWORKS:
            own = {k.removeprefix(f"{name}."): v for k, v in networks.items() if k.startswith(f"{name}.")}
            getattr(self, name).load_state_dict(own)
        for name in self.OPTIMIZERS:
            optimizer = getattr(self, name)
            state: dict[int, dict[str, Tensor]] = {}
            for key, value in rest.items():
                if key.startswith(f"{name}."):
                    _, index, slot = key.split(".")
                    state.setdefault(int(index), {})[slot] = value
            optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
        self.control.state = {k: rest[f"control.{k}"].to(v.device) for k, v in self.control.state.items()}
        self.path_length_mean = rest["path_length_mean"].to(self.device)
        self.step = step

    def styles(self, n: int) -> Tensor:
        """[n, styles, style_size] of fresh latents, two of them mixed as often as the configuration says."""
        z = torch.randn(n, self.config.latent_size, device=self.device)
        if torch.rand([]) >= self.config.mixing:
            return self.generator.mixed_styles(z)
        cutoff = int(torch.randint(1, self.generator.styles, []))
        return self.generator.mixed_styles(z, torch.randn_like(z), cutoff)


def lazy_adam(network: nn.Module, rate: float, beta2: float, every: int) -> torch.optim.Adam:
    """Adam for a main phase plus a regulariser `every` so many steps (0: none), which takes a step of its own.

    Karras et al. 2020, arXiv:1912.04958, appendix B: with m = every / (every + 1), rate * m and beta ** m.
    """
    m = every / (every + 1) if every else 1.0
    return torch.optim.Adam(network.parameters(), lr=rate * m, betas=(0.0, beta2**m), eps=1e-8, fused=True)


@dataclass
class Step:
    """What the phases of one step share: the real batches and, if the configuration says so, one batch of fakes."""

    images: Tensor  # [B, channels, R, R] for the image discriminator
    labelled_images: Tensor  # [B, channels, R, R]
    labels: Tensor  # [B, classes, R, R] one-hot in {-1, 1}, of labelled_images
    _fakes: Drawn | None = field(default=None, repr=False)

    def fakes(self, gan: Semgan, *, with_graph: bool) -> Drawn:
        """with_graph: the generator is to be trained through them; a discriminator wants them detached."""
        if not gan.config.shared_fakes:
            with torch.set_grad_enabled(with_graph):
                return gan.generator(gan.styles(len(self.images)))
        if self._fakes is None:
            self._fakes = gan.generator(gan.styles(len(self.images)))
        return self._fakes if with_graph else Drawn(*(t.detach() for t in self._fakes))


# Phases ---------------------------------------------------------------------------------------------------
# A phase takes the run and a step, updates one network, and returns the scalars to log.
# To add a regulariser: write its phase, add it to PHASES.


def image_discriminator_phase(gan: Semgan, step: Step) -> dict[str, Tensor]:
    fakes = step.fakes(gan, with_graph=False).images
    real_logits, fake_logits = gan.image_discriminator(torch.cat([step.images, fakes]), sets=2).chunk(2)
    loss = discriminator_logistic(real_logits, fake_logits)
    update(gan, image_discriminator_phase, gan.image_optimizer, loss)
    return {
        "loss/image_discriminator": loss,
        "scores/image_real": real_logits.mean(),
        "scores/image_fake": fake_logits.mean(),
    }


def label_discriminator_phase(gan: Semgan, step: Step) -> dict[str, Tensor]:
    fakes = step.fakes(gan, with_graph=False)
    both = torch.cat([step.labelled_images, fakes.images]), torch.cat([step.labels, fakes.labels])
    scores = [scale.chunk(2) for scale in gan.label_discriminator(*both).scores]
    loss = discriminator_hinge([real for real, _ in scores], [fake for _, fake in scores])
    update(gan, label_discriminator_phase, gan.label_optimizer, loss)
    return {"loss/label_discriminator": loss}


def image_r1_phase(gan: Semgan, step: Step) -> dict[str, Tensor]:
    if not gan.config.r1_gamma:
        return {}
    images = step.images.detach().requires_grad_(True)
    penalty = r1_penalty(gan.image_discriminator(images), [images])
    # It acts once in r1_every steps, so it weighs r1_every times as much: lazy regularisation, arXiv:1912.04958.
    loss = penalty * (gan.config.r1_gamma / 2) * gan.config.r1_every
    update(gan, image_r1_phase, gan.image_optimizer, loss)
    return {"loss/image_r1": penalty}


def label_r1_phase(gan: Semgan, step: Step) -> dict[str, Tensor]:
    if not gan.config.label_gamma:
        return {}
    inputs = [t.detach().requires_grad_(True) for t in (step.labelled_images, step.labels)]
    scores = gan.label_discriminator(*inputs).scores
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
        realism = generator_nonsaturating(gan.image_discriminator(images))
        judged = gan.label_discriminator(images if gan.config.semantic_gradients else images.detach(), labels)
        with torch.no_grad():
            real = gan.label_discriminator(step.labelled_images, step.labels)
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


def path_length_phase(gan: Semgan, step: Step) -> dict[str, Tensor]:
    if not gan.config.path_length_weight:
        return {}
    styles = gan.styles(max(1, len(step.images) // 2))
    lengths = path_lengths(gan.generator(styles).images, styles)
    mean = gan.path_length_mean.lerp(lengths.detach().mean(), 0.01)
    penalty = (lengths - mean).square().mean()
    loss = penalty * gan.config.path_length_weight * gan.config.path_length_every
    update(gan, path_length_phase, gan.generator_optimizer, loss)
    gan.path_length_mean = mean
    return {"loss/path_length": penalty, "scores/path_length": mean}


def average_phase(gan: Semgan, step: Step) -> dict[str, Tensor]:
    config = gan.config
    seen = (gan.step + 1) * config.batch
    # Early weights are soon outdated: Karras et al. 2020, arXiv:2006.06676, ramp the half-life up likewise.
    half_life = min(config.ema_images, config.ema_ramp * seen) if config.ema_ramp else config.ema_images
    decay = 0.5 ** (config.batch / half_life)
    with torch.no_grad():
        for average, weight in zip(gan.averaged.parameters(), gan.generator.parameters(), strict=True):
            average.lerp_(weight, 1 - decay)
    return {}


Phase = Callable[[Semgan, Step], dict[str, Tensor]]
PHASES: list[tuple[Phase, Callable[[SemganConfig], int]]] = [
    (image_discriminator_phase, lambda config: 1),
    (image_r1_phase, lambda config: config.r1_every),
    (label_discriminator_phase, lambda config: 1),
    (label_r1_phase, lambda config: config.r1_every),
    (generator_phase, lambda config: 1),
    (path_length_phase, lambda config: config.path_length_every),
    (average_phase, lambda config: 1),
]
PHASE_NAMES = [phase.__name__.removesuffix("_phase") for phase, _ in PHASES]


def update(gan: Semgan, phase: Phase, optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    finish(gan, phase, optimizer, loss)


def finish(gan: Semgan, phase: Phase, optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    """Notes on the device whether loss and gradients are finite, and steps."""
    gradients = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
    size = torch.nn.utils.get_total_norm(gradients)
    index = PHASE_NAMES.index(phase.__name__.removesuffix("_phase"))
    good = torch.isfinite(size) & torch.isfinite(loss.detach())
    gan.first_bad_step[index] = torch.where(
        good, gan.first_bad_step[index], gan.first_bad_step[index].clamp(max=gan.step)
    )
    optimizer.step()


@contextmanager
def frozen(*networks: nn.Module) -> Iterator[None]:
    """Within, only the gradient of the networks' inputs is computed, not that of their weights."""
    parameters = list(itertools.chain.from_iterable(network.parameters() for network in networks))
    for p in parameters:
        p.requires_grad_(False)
    try:
        yield
    finally:
        for p in parameters:
            p.requires_grad_(True)


def take_step(gan: Semgan, step: Step) -> dict[str, Tensor]:
    """All phases that are due, in order; the scalars to log."""
    scalars: dict[str, Tensor] = {}
    for phase, every in PHASES:
        if gan.step % every(gan.config) == 0:
            scalars |= {name: value.detach() for name, value in phase(gan, step).items()}
    gan.step += 1
    return scalars
