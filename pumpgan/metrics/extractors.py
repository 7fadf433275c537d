"""Networks that turn images into the features which FID and its kin compare, and the recipe of each.

Two FIDs are comparable where everything about them is the same: network, file, resizing, covariance. So a recipe goes
with every figure, and statistics of different recipes refuse to meet.
"""

import hashlib
import io
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pumpgan.metrics.stand_in import FEATURES, StandIn

EXPECTED = (
    "--inception takes NVIDIA's inception-2015-12-05.pt (TorchScript), pytorch-fid's or torch-fidelity's "
    "pt_inception-2015-12-05-6726825d.pth, or torchvision's inception_v3_google-*.pth"
)
INCEPTION_FEATURES, INCEPTION_AT_ONCE, STAND_IN_AT_ONCE = 2048, 32, 256
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Recipe:
    """How features are made, and how their statistics are compared. Images are always rounded to uint8 first."""

    name: str  # sg2: as StyleGAN2-ADA's FID; sem: as SemanticGAN's; stand-in: not FID
    extractor: str  # the network's file name
    sha256: str | None  # of that file
    resize: str
    features: int  # numbers an image
    covariance: str  # what the sum of products is divided by: N, or N - 1
    eps: float  # added to the diagonal of both covariances before the root of their product

    @property
    def metric(self) -> str:
        """The name of its Fréchet distance in logs and files."""
        return "feature_distance" if self.name == "stand-in" else "fid"

    def record(self) -> dict[str, Any]:
        return asdict(self)

    def identity(self) -> dict[str, Any]:
        """What two recipes must have in common to be compared: a file counts by its content, not by its name."""
        return asdict(self) | ({"extractor": "by sha256"} if self.sha256 else {})

    def check_same(self, other: "Recipe", where: str) -> None:
        """ValueError, naming what differs, unless the two are comparable."""
        mine, theirs = self.identity(), other.identity()
        unlike = [f"{name} {mine[name]} and {theirs[name]}" for name in mine if mine[name] != theirs[name]]
        if unlike:
            raise ValueError(f"{where}: metrics of different recipes cannot be compared: {'; '.join(unlike)}")


STAND_IN = Recipe("stand-in", "pumpgan filter bank 1", None, "none", FEATURES, "N - 1", 0.0)


class Extractor:
    """Features of images. `network` maps uint8 [n, 3, H, W] on `device` to [n, recipe.features]."""

    def __init__(self, network: Callable[[Tensor], Tensor], recipe: Recipe, device: torch.device, at_once: int):
        self.network, self.recipe, self.device, self.at_once = network, recipe, device, at_once

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        """float32 [N, features] on the extractor's device, of images uint8 [N, 1 or 3, H, W]; grey becomes RGB."""
        if images.ndim != 4 or images.shape[1] not in (1, 3) or images.dtype != torch.uint8:
            shape = f"{images.dtype} {list(images.shape)}"
            raise ValueError(f"Extractor: images must be uint8 [N, 1 or 3, H, W], got {shape}")
        parts = [torch.empty(0, self.recipe.features, device=self.device)]
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):  # figures are compared between machines
            for few in images.split(self.at_once):
                parts.append(self.network(few.to(self.device).expand(-1, 3, -1, -1)).float())
        return torch.cat(parts)


def load_extractor(path: Path | None, device: torch.device | None = None) -> Extractor:
    """The Inception network of a file, by what the file holds; without one the stand-in, which needs none.

    Nothing is downloaded, and nothing but tensors and TorchScript is read. Raises OSError where the file cannot be
    read, ValueError where it is none of the three kinds, or cut short.
    """
    device = device or torch.device("cpu")
    if path is None:
        return Extractor(StandIn().to(device), STAND_IN, device, STAND_IN_AT_ONCE)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: is no file; {EXPECTED}")
    content = path.read_bytes()
    sha256 = hashlib.sha256(content).hexdigest()
    network, name, resize, covariance, eps = read_network(path, content)
    recipe = Recipe(name, path.name, sha256, resize, INCEPTION_FEATURES, covariance, eps)
    network = network.eval().requires_grad_(False).to(device)
    try:
        with torch.no_grad():
            tried = network(torch.zeros(1, 3, 32, 32, dtype=torch.uint8, device=device))
    except RuntimeError as error:
        raise ValueError(f"{path}: does not run on an image ({first_line(error)}); {EXPECTED}") from error
    if tried.shape != (1, INCEPTION_FEATURES):
        raise ValueError(f"{path}: gives features {list(tried.shape)} of an image, not [1, 2048]; {EXPECTED}")
    return Extractor(network, recipe, device, INCEPTION_AT_ONCE)


Network = tuple[nn.Module, str, str, str, float]  # network, recipe name, resize, covariance, eps


def read_network(path: Path, content: bytes) -> Network:
    if is_torchscript(content):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter(
                    "ignore", FutureWarning
                )  # of what is to replace TorchScript: the file is as it is
                script = torch.jit.load(io.BytesIO(content), map_location="cpu")
        except RuntimeError as error:
            raise ValueError(f"{path}: is damaged TorchScript ({first_line(error)}); {EXPECTED}") from error
        return Script(script), "sg2", "in the network: bilinear 299, as TensorFlow 1", "N", 0.0
    state = read_state(path, content)
    classes = state["fc.weight"].shape[0] if "fc.weight" in state and "Conv2d_1a_3x3.conv.weight" in state else 0
    try:
        if classes == 1008:
            return TensorflowInception(state), "sg2", "bilinear 299, as TensorFlow 1", "N", 0.0
        if classes == 1000:
            return TorchvisionInception(state), "sem", "bilinear 299, corners aligned", "N - 1", 1e-6
    except RuntimeError as error:
        raise ValueError(f"{path}: lacks parts of Inception v3 ({first_line(error)}); {EXPECTED}") from error
    except ModuleNotFoundError as error:
        raise ValueError(f"{path}: needs {error.name}: pip install 'pumpgan[metrics]'") from error
    raise ValueError(f"{path}: holds no Inception v3 with 1008 or 1000 outputs; {EXPECTED}")


def is_torchscript(content: bytes) -> bool:
    file = io.BytesIO(content)
    if not zipfile.is_zipfile(file):
        return False
    with zipfile.ZipFile(file) as archive:
        return any("/code/" in name for name in archive.namelist())


def read_state(path: Path, content: bytes) -> dict[str, Tensor]:
    """Tensors alone: pickled code is refused, not run."""
    try:
        state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except (RuntimeError, UnpicklingError, EOFError, ValueError, KeyError, IndexError) as error:
        raise ValueError(f"{path}: is cut short, or not of torch; {EXPECTED}") from error
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise ValueError(f"{path}: holds something else than named tensors; {EXPECTED}")
    return state


def first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


class Script(nn.Module):
    """NVIDIA's TorchScript: resizes by itself, gives features where asked for them instead of probabilities."""

    def __init__(self, script: torch.jit.ScriptModule):
        super().__init__()
        self.script = script

    def forward(self, images: Tensor) -> Tensor:
        return self.script(images, return_features=True)


class TensorflowInception(nn.Module):
    """The network of the original FID, with weights ported from TensorFlow; resizes by itself."""

    def __init__(self, state: dict[str, Tensor]):
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

        super().__init__()
        safe = io.BytesIO()  # the constructor unpickles whatever it is given: give it what was read as tensors
        torch.save(state, safe)
        safe.seek(0)
        with torch.random.fork_rng(devices=[]):  # it draws weights before it loads them
            self.network = FeatureExtractorInceptionV3("inception", ["2048"], feature_extractor_weights_path=safe)

    def forward(self, images: Tensor) -> Tensor:
        return self.network(images)[0]


class TorchvisionInception(nn.Module):
    """torchvision's Inception v3 as SemanticGAN uses it: ImageNet's mean and deviation, then resized to 299."""

    mean: Tensor
    std: Tensor

    def __init__(self, state: dict[str, Tensor]):
        from torchvision.models import inception_v3

        super().__init__()
        with torch.device("meta"):
            self.network = inception_v3(weights=None, aux_logits=True, transform_input=False, init_weights=False)
        self.network.load_state_dict(state, assign=True)
        self.network.AuxLogits, self.network.fc = None, nn.Identity()
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN)[:, None, None])
        self.register_buffer("std", torch.tensor(IMAGENET_STD)[:, None, None])

    def forward(self, images: Tensor) -> Tensor:
        x = (images.float() / 255 - self.mean) / self.std
        if x.shape[2:] != (299, 299):
            x = F.interpolate(x, size=(299, 299), mode="bilinear", align_corners=True)
        return self.network(x)
