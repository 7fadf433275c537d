"""Steering of label shares during training: what it remembers, when it begins, and how strongly it pulls.

Measured settings (soft counts at temperature 0.1, a memory of at least four batches, a balance of 2 with a cap of twice
that) are the defaults of the configuration; docs/decisions.md says why.
"""

import math

import torch
from torch import Tensor

from pumpgan.data.names import suggestion
from pumpgan.losses.distribution import ShareTarget, share_distance
from pumpgan.ops import label_stats
from pumpgan.train.config import SemganConfig

RATE = 0.02  # of the running means
CHECK_EVERY = 16  # steps between two looks at whether it may begin
RECENT = 512  # steps over which its weight should be steady
PATIENCE = 8_000  # images after which labels are judged whatever they look like
READY_IMAGES = 2_000  # for which every look must agree: a fresh generator's noise holds every class by chance
SETTLED_IMAGES = (
    40_000  # before which `auto` never begins: a part's patches that are steered sooner stay without texture
)


class ShareControl:
    """Follows the generated shares of every class and steers those that `--dist-loss` names.

    soft: [M, C] last share vectors as the loss counts them, newest first. hard: [W, C] last argmax shares, for the log.
    """

    def __init__(self, config: SemganConfig, real: ShareTarget, names: list[str], device: torch.device):
        self.config, self.real, self.names = config, real, names
        self.chosen = chosen_classes(config.dist_loss, names, real)
        self.target = scaled_target(config, real, names, self.chosen)
        self.steered = self.target.only(self.chosen).to(device, torch.float32)
        classes = len(names)
        self.memory_size = memory_size(config, real, self.chosen)
        window = max(self.memory_size, 8 * config.batch)
        self.state = {
            "soft": torch.zeros(self.memory_size, classes, device=device),
            "hard": torch.zeros(window, classes, device=device),
            "seen": torch.zeros([], dtype=torch.int64),  # share vectors so far
            "ready": torch.tensor(-1, dtype=torch.int64),  # images since when common classes are drawn; -1: not
            "established": torch.tensor(-1, dtype=torch.int64),  # images when they had been for long enough
            "started": torch.tensor(-1, dtype=torch.int64),  # images when it began
            "adversarial_norm": torch.zeros([], device=device),
            "loss_norm": torch.zeros(len(self.chosen), device=device),
            "capped": torch.zeros(len(self.chosen), device=device),  # running fraction of steps at the cap
            "weights": torch.zeros(RECENT, len(self.chosen), device=device),  # of last steps, newest first; 0: none
            "soft_mean": torch.zeros(classes, device=device),  # running
        }

    @property
    def started(self) -> bool:
        return bool(self.state["started"] >= 0)

    @property
    def established(self) -> bool:
        """Whether common classes have once been drawn for READY_IMAGES on end."""
        return bool(self.state["established"] >= 0)

    def gradient(self, logits: Tensor, adversarial: Tensor, *, step: int, images: int) -> tuple[Tensor | None, dict]:
        """What to add to the adversarial gradient at the label logits, and what to log.

        logits: [B, C, H, W] leaf that requires grad. adversarial: its gradient so far. images: seen by the run.
        """
        self._look(step, images)
        steering = bool(self.chosen) and self.started
        with torch.set_grad_enabled(steering):
            soft, counts = label_stats(logits, temperature=self.config.dist_temperature)
        hard = counts.float() / self.real.pixels
        shares = soft
        if self.config.dist_counts == "straight-through":
            shares = soft - soft.detach() + hard
        scalars: dict[str, Tensor] = {}
        pull = None
        if steering:
            filled = min(int(self.state["seen"]), self.memory_size)
            memory = self.state["soft"][:filled, self.chosen]
            distances = share_distance(self.config.dist_kind, shares[:, self.chosen], self.steered, memory)
            pulls = torch.stack([torch.autograd.grad(d, logits, retain_graph=True)[0] for d in distances])
            pull, weights = self._weigh(pulls, adversarial, images)
            scalars = {"dist/loss": distances.detach().mean(), "dist/capped": self.state["capped"].mean()}
            for c, distance, weight in zip(self.chosen, distances.detach(), weights, strict=True):
                scalars |= {f"dist/{self.names[c]}/loss": distance, f"dist/{self.names[c]}/weight": weight}
        self._remember(shares.detach(), hard)
        return pull, scalars

    def _weigh(self, pulls: Tensor, adversarial: Tensor, images: int) -> tuple[Tensor, Tensor]:
        """The pulls of all classes [K, B, C, H, W] times their weights, summed up; and the weights [K].

        Each class is balanced by itself, or the one of most pixels would take all of the pull. K unrelated pulls of a
        length add up to sqrt(K) times that, so each gets 1 / sqrt(K) of the balance. A weight is 0 where a class's
        softmax underflows and nothing pulls.
        """
        state, config = self.state, self.config
        norms, adversarial_norm = pulls.flatten(1).norm(dim=1), adversarial.norm()
        active = norms > 0
        for name, norm, measured in (
            ("loss_norm", norms, active),
            ("adversarial_norm", adversarial_norm, active.any()),
        ):
            mean = torch.where(state[name] == 0, norm, state[name].lerp(norm, RATE))
            state[name] = torch.where(measured, mean, state[name])
        wanted = weights = torch.full_like(norms, config.dist_lambda / len(norms))
        if not config.dist_lambda:
            balanced = config.dist_balance / len(norms) ** 0.5 * state["adversarial_norm"]
            wanted, most = balanced / state["loss_norm"], 2 * balanced / norms
            weights = torch.where(active, torch.minimum(wanted, most), 0.0)
            state["capped"] = state["capped"].lerp((wanted > most).float(), RATE)
        state["weights"] = torch.cat([wanted.where(active, state["weights"][0])[None], state["weights"][:-1]])
        if config.dist_decay:
            weights = weights * 0.5 ** ((images - int(state["started"])) / (config.dist_decay * 1000))
        return torch.tensordot(weights, pulls, dims=1), weights

    def _remember(self, soft: Tensor, hard: Tensor) -> None:
        state = self.state
        state["soft_mean"] = soft.mean(0) if int(state["seen"]) == 0 else state["soft_mean"].lerp(soft.mean(0), RATE)
        for name, new in (("soft", soft), ("hard", hard)):
            state[name] = torch.cat([new.to(state[name].dtype), state[name]])[: len(state[name])]
        state["seen"] = state["seen"] + len(soft)

    def _look(self, step: int, images: int) -> None:
        """Notes when common classes have settled, and whether the loss begins now."""
        state = self.state
        if not self.established and step % CHECK_EVERY == 0:
            since = int(state["ready"])
            if not self.common_classes_drawn():
                since = -1
            elif since < 0:
                since = images
            state["ready"] = torch.tensor(since, dtype=torch.int64)
            if since >= 0 and images - since >= READY_IMAGES:
                state["established"] = torch.tensor(images, dtype=torch.int64)
        if self.chosen and not self.started:
            auto = self.config.dist_start == "auto"
            first = SETTLED_IMAGES if auto else 1000 * float(self.config.dist_start)
            if images >= first and (self.established or not auto):
                state["started"] = torch.tensor(images, dtype=torch.int64)

    def common_classes_drawn(self) -> bool:
        """Whether every class of at least half of the real images stands in at least half as many generated ones."""
        if int(self.state["seen"]) < len(self.state["hard"]):
            return False
        presence = (self.state["hard"] > 0).double().mean(dim=0).cpu()
        common = self.real.presence >= 0.5
        return bool((presence[common] >= self.real.presence[common] / 2).all())

    def drawn(self) -> dict[str, tuple[float, float]]:
        """{class: (presence, mean share)} over the window of last generated label maps, hard counts."""
        window = self.state["hard"][: max(1, int(self.state["seen"]))]
        presence, share = (window > 0).double().mean(dim=0).tolist(), window.double().mean(dim=0).tolist()
        return {name: (presence[c], share[c]) for c, name in enumerate(self.names)}

    def may_be_judged(self, images: int) -> bool:
        """Whether labels after so many images can be held against the generator."""
        return self.established or images >= PATIENCE

    def asked_presence(self) -> dict[str, float]:
        """{class: presence in its target over the real one} of the steered classes."""
        return {self.names[c]: float(self.target.presence[c] / self.real.presence[c]) for c in self.chosen}

    def alarms(self, images: int) -> list[str]:
        """What about the steering itself deserves a warning after so many images, in sentences."""
        found: list[str] = []
        if not self.chosen or images < PATIENCE:
            return found
        if not self.started and self.config.dist_start == "auto" and not self.established:
            return [f"dist-loss {self.config.dist_loss}: has not begun; common classes are not drawn often enough yet"]
        if not self.started:
            return found
        state, drawn = self.state, self.drawn()
        for i, c in enumerate(self.chosen):
            name, (presence, share) = self.names[c], drawn[self.names[c]]
            wanted, soft = float(self.target.mean[c]), float(state["soft_mean"][c])
            if presence == 0:
                found.append(f"{name}: not one generated label has it while its loss is on")
            elif soft > 0.7 * wanted and share < soft / 2:
                found.append(
                    f"{name}: soft mass {100 * soft:.3f} % meets the target, pixels {100 * share:.3f} % do not"
                )
            vectors = (self.memory_size + self.config.batch) * float(self.real.presence[c])
            if vectors < 15:
                found.append(f"{name}: its statistics rest on {vectors:.1f} expected occurrences; raise --dist-memory")
            if float(state["capped"][i]) > 0.3:
                found.append(f"{name}: its pull is at the cap in {100 * float(state['capped'][i]):.0f} % of the steps")
            weights = state["weights"][:, i]
            weights = weights[weights > 0]
            if len(weights) and float(weights.max()) > 100 * float(weights.min()):
                found.append(f"{name}: the weight of its pull has moved a hundredfold within {len(weights)} steps")
        return found


def chosen_classes(asked: str, names: list[str], real: ShareTarget) -> list[int]:
    """Class ids that `--dist-loss` means; ValueError for an unknown class or a named one that no real label holds."""
    if not asked:
        return []
    present = [bool(p > 0) for p in real.presence]
    if asked == "all":
        return [c for c in range(1, len(names)) if present[c]]
    chosen = []
    for name in (part.strip() for part in asked.split(",")):
        if name not in names:
            hint = suggestion(name, names) or f"; the classes are {', '.join(names)}"
            raise ValueError(f"--dist-loss: no class is called {name!r}{hint}")
        c = names.index(name)
        if not present[c]:
            raise ValueError(f"--dist-loss: no training label has a pixel of {name!r}, so there is no share to aim at")
        chosen.append(c)
    return sorted(set(chosen))


def scaled_target(config: SemganConfig, real: ShareTarget, names: list[str], chosen: list[int]) -> ShareTarget:
    """The target of `--dist-target`; ValueError where a steered class would have to fill more than the image."""
    target = real.scaled(**config.target_factors())
    for c in chosen:
        if target.mean[c] > 1:
            share = f"{100 * float(target.mean[c]):.0f} % of the pixels"
            raise ValueError(f"--dist-target: {config.dist_target} asks {names[c]} to hold {share} on average")
    return target


def skipped_classes(asked: str, names: list[str], real: ShareTarget) -> list[str]:
    """What `all` leaves out because no real label has it."""
    return [n for c, n in enumerate(names) if asked == "all" and c and not real.presence[c] > 0]


def memory_size(config: SemganConfig, real: ShareTarget, chosen: list[int]) -> int:
    if config.dist_memory >= 0:
        return config.dist_memory
    rarest = min((float(real.presence[c]) for c in chosen), default=1.0)
    return max(4 * config.batch, math.ceil(15 / rarest))
