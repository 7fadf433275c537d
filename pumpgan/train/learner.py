"""What training changes and a checkpoint holds, and how a step goes: phases in order, each updating one network."""

import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from pumpgan.data.stream import Batch
from pumpgan.train.config import RunConfig

NEVER = torch.iinfo(torch.int64).max
Scalars = dict[str, Tensor]
Phase = Callable[[Any, Any], Scalars]
"""Takes the learner and what `step_of` made of a step's batches, updates one network, returns the scalars to log."""


@dataclass(frozen=True)
class Task:
    """What a run's data ask for: (height, width) and channels of the images, names of label classes and conditions."""

    size: tuple[int, int]
    channels: int
    classes: tuple[str, ...] = ()
    conditions: tuple[str, ...] = ()


@dataclass(frozen=True)
class Looks:
    """Who looks at a learner at each checkpoint.

    sample: draws a sample sheet into the run's folder and returns warnings about what it shows.
    measure: looks longer; not at the first weights, and not on the way out, where a signal leaves little time.
    """

    sample: Callable[[Any], list[str]]
    measure: Callable[[Any], object] = lambda learner: None


class Learner(ABC):
    """Everything a step changes, and so everything a checkpoint holds. A model adds its networks and its phases."""

    NETWORKS: tuple[str, ...]
    OPTIMIZERS: tuple[str, ...]
    MAIN: str  # the scalar that the progress bar shows

    def __init__(self, config: RunConfig, task: Task, device: torch.device):
        self.config: Any = config
        self.task, self.device = task, device
        self.step = 0
        self.phase_names = [name_of(phase) for phase, _ in self.phases()]
        # By phase: the first step at which a loss or a gradient was not finite, and the last gradient's norm. Both stay
        # on the device and are read now and then.
        self.first_bad_step = torch.full((len(self.phase_names),), NEVER, device=self.device)
        self.gradient_norms = torch.full((len(self.phase_names),), torch.nan, device=self.device)  # NaN: not yet run

    @abstractmethod
    def phases(self) -> list[tuple[Phase, Callable[[Any], int]]]:
        """The phases of a step in order, each with how many steps lie between two of it."""

    @abstractmethod
    def step_of(self, *batches: Batch) -> Any:
        """What the phases of a step share, from one batch of every stream that the model trains on."""

    @property
    def images(self) -> int:
        """Images seen of the first stream."""
        return self.step * self.config.batch

    @property
    def converged(self) -> bool:
        """Whether training ends before its goal."""
        return False

    @property
    def checkpoint_every(self) -> int:
        """Steps between the checkpoints that are measured; 0: all are, and the clock says when."""
        return 0

    def snapshot_due(self, saved_step: int) -> bool:
        """Whether something is to be kept for good at a checkpoint, the last one being of `saved_step`."""
        return False

    def statistics(self) -> dict[str, Tensor]:
        """What a checkpoint holds beside networks and optimisers."""
        return {}

    def load_statistics(self, rest: dict[str, Tensor]) -> None:
        """The inverse of `statistics`; KeyError where something is missing."""
        return

    def figures(self) -> dict[str, float]:
        """What a log line holds beside the phases' scalars."""
        norms = zip(self.phase_names, self.gradient_norms.tolist(), strict=True)
        return {f"gradients/{name}": norm for name, norm in norms if not math.isnan(norm)}

    def alarms(self) -> list[str]:
        """What is worth a warning at a checkpoint."""
        return []

    def tensors(self) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """(networks, optimisers and running statistics), flat, by name."""
        networks = {f"{n}.{k}": v for n in self.NETWORKS for k, v in getattr(self, n).state_dict().items()}
        rest = self.statistics()
        for name in self.OPTIMIZERS:
            for index, slots in getattr(self, name).state_dict()["state"].items():
                rest |= {f"{name}.{index}.{slot}": value for slot, value in slots.items()}
        return networks, rest

    def load_networks(self, networks: dict[str, Tensor]) -> None:
        """KeyError or RuntimeError if they are of another configuration."""
        for name in self.NETWORKS:
            own = {k.removeprefix(f"{name}."): v for k, v in networks.items() if k.startswith(f"{name}.")}
            getattr(self, name).load_state_dict(own)

    def begin_anew(self) -> None:
        """Forgets, once another run's networks are loaded, what that run had found out about them by its own data."""
        return

    def load_tensors(self, networks: dict[str, Tensor], rest: dict[str, Tensor], step: int) -> None:
        """The inverse of `tensors`. KeyError or RuntimeError if they are of another configuration."""
        self.load_networks(networks)
        for name in self.OPTIMIZERS:
            optimizer = getattr(self, name)
            state: dict[int, dict[str, Tensor]] = {}
            for key, value in rest.items():
                if key.startswith(f"{name}."):
                    _, index, slot = key.split(".")
                    state.setdefault(int(index), {})[slot] = value
            optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
        self.load_statistics(rest)
        self.step = step


def name_of(phase: Phase) -> str:
    return phase.__name__.removesuffix("_phase")


def update(
    learner: Learner, phase: Phase, optimizer: torch.optim.Optimizer, loss: Tensor, *, clip: float = math.inf
) -> None:
    """clip: longest gradient, over all the optimiser's parameters, that is not shortened."""
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    finish(learner, phase, optimizer, loss, clip=clip)


def finish(
    learner: Learner, phase: Phase, optimizer: torch.optim.Optimizer, loss: Tensor, *, clip: float = math.inf
) -> None:
    """Notes on the device whether loss and gradients are finite, and steps."""
    gradients = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
    size = torch.nn.utils.get_total_norm(gradients)
    index = learner.phase_names.index(name_of(phase))
    good = torch.isfinite(size) & torch.isfinite(loss.detach())
    learner.first_bad_step[index] = torch.where(
        good, learner.first_bad_step[index], learner.first_bad_step[index].clamp(max=learner.step)
    )
    learner.gradient_norms[index] = size
    if clip < math.inf:
        torch._foreach_mul_(gradients, (clip / (size + 1e-6)).clamp(max=1.0))
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


def take_step(learner: Learner, step: Any) -> dict[str, Tensor]:
    """All phases that are due, in order; the scalars to log."""
    scalars: dict[str, Tensor] = {}
    for phase, every in learner.phases():
        if learner.step % every(learner.config) == 0:
            scalars |= {name: value.detach() for name, value in phase(learner, step).items()}
    learner.step += 1
    return scalars
