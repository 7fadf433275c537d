"""StyleGAN2 written down from its papers in plain torch, with the tensors' names of stylegan2-ada-pytorch.

Karras et al. 2020, arXiv:1912.04958, equations 1 and 3 and figure 7 (input/output skips, residual discriminator);
arXiv:2006.06676 (conditions). Slow and direct: every sample has weights of its own, upsampling inserts zeros.
"""

import itertools
import math

import torch
import torch.nn.functional as F
from torch import Tensor

Tensors = dict[str, Tensor]
TAPS = torch.tensor([1.0, 3.0, 3.0, 1.0], dtype=torch.float64) / 8


def shapes_of_generator(side: int, channels: int, conditions: int, width: int, z: int, w: int, depth: int):
    """Sizes of the generator's tensors, all levels `width` wide."""
    first = z + (w if conditions else 0)
    found = {"mapping.embed.weight": (w, conditions), "mapping.embed.bias": (w,)} if conditions else {}
    for i in range(depth):
        found |= {f"mapping.fc{i}.weight": (w, w if i else first), f"mapping.fc{i}.bias": (w,)}
    found |= {"mapping.w_avg": (w,), "synthesis.b4.const": (width, 4, 4)}
    for r in sides(side):
        found[f"synthesis.b{r}.resample_filter"] = (4, 4)
        for conv in ("conv0", "conv1")[r == 4 :]:
            name = f"synthesis.b{r}.{conv}"
            found |= {f"{name}.weight": (width, width, 3, 3), f"{name}.bias": (width,), f"{name}.noise_strength": ()}
            found |= {f"{name}.noise_const": (r, r), f"{name}.resample_filter": (4, 4)}
            found |= {f"{name}.affine.weight": (width, w), f"{name}.affine.bias": (width,)}
        name = f"synthesis.b{r}.torgb"
        found |= {f"{name}.weight": (channels, width, 1, 1), f"{name}.bias": (channels,)}
        found |= {f"{name}.affine.weight": (width, w), f"{name}.affine.bias": (width,)}
    return found


def shapes_of_discriminator(side: int, channels: int, conditions: int, width: int):
    found = {f"b{side}.fromrgb.weight": (width, channels, 1, 1), f"b{side}.fromrgb.bias": (width,)}
    for r in sides(side)[1:]:
        for conv in ("conv0", "conv1"):
            found |= {f"b{r}.{conv}.weight": (width, width, 3, 3), f"b{r}.{conv}.bias": (width,)}
        found |= {f"b{r}.skip.weight": (width, width, 1, 1), f"b{r}.skip.resample_filter": (4, 4)}
    found |= {"b4.conv.weight": (width, width + 1, 3, 3), "b4.conv.bias": (width,)}
    found |= {"b4.fc.weight": (width, width * 16), "b4.fc.bias": (width,)}
    last = width if conditions else 1
    found |= {"b4.out.weight": (last, width), "b4.out.bias": (last,)}
    if conditions:
        found |= {"mapping.embed.weight": (width, conditions), "mapping.embed.bias": (width,)}
        for i in range(8):
            found |= {f"mapping.fc{i}.weight": (width, width), f"mapping.fc{i}.bias": (width,)}
    return found


def filled(shapes: dict[str, tuple[int, ...]], seed: int) -> Tensors:
    """Random numbers everywhere, in filters theirs; mapping layers are stored a hundred times as large as they act."""
    source = torch.Generator().manual_seed(seed)
    tensors = {name: torch.randn(shape, generator=source) for name, shape in shapes.items()}
    for name in tensors:
        if name.endswith("resample_filter"):
            tensors[name] = torch.outer(TAPS, TAPS).float()
        elif ".fc" in name and name.startswith("mapping"):
            tensors[name] = tensors[name] * 100
    return tensors


def sides(side: int) -> list[int]:
    return [2**k for k in range(2, side.bit_length())]


def unit(x: Tensor) -> Tensor:
    return x / (x.square().mean(dim=1, keepdim=True) + 1e-8).sqrt()


def active(x: Tensor) -> Tensor:
    return torch.where(x > 0, x, 0.2 * x) * math.sqrt(2)


def linear(t: Tensors, name: str, x: Tensor, rate: float = 1.0) -> Tensor:
    weight = t[f"{name}.weight"]
    return x @ weight.T * (rate / math.sqrt(weight.shape[1])) + t[f"{name}.bias"] * rate


def filtered(x: Tensor, before: int, after: int, gain: float = 1.0) -> Tensor:
    kernel = torch.outer(TAPS, TAPS).expand(x.shape[1], 1, 4, 4) * gain
    return F.conv2d(F.pad(x, (before, after, before, after)), kernel, groups=x.shape[1])


def with_zeros(x: Tensor) -> Tensor:
    n, c, h, w = x.shape
    y = x.new_zeros(n, c, 2 * h, 2 * w)
    y[:, :, ::2, ::2] = x
    return y


def mapping(t: Tensors, z: Tensor | None, conditions: Tensor | None) -> Tensor:
    parts = [] if z is None else [unit(z)]
    if conditions is not None:
        hot = torch.eye(t["mapping.embed.weight"].shape[1], dtype=torch.float64)[conditions]
        parts.append(unit(linear(t, "mapping.embed", hot)))
    x = torch.cat(parts, dim=1)
    for i in itertools.count():
        if f"mapping.fc{i}.weight" not in t:
            return x
        x = active(linear(t, f"mapping.fc{i}", x, 0.01))


def styled(t: Tensors, name: str, x: Tensor, w: Tensor, noise: Tensor, up: bool) -> Tensor:
    weight = t[f"{name}.weight"]
    style = linear(t, f"{name}.affine", w)
    rows = []
    for sample, s in zip(x, style, strict=True):
        own = weight * s[None, :, None, None]
        own = own / (own.square().sum(dim=(1, 2, 3), keepdim=True) + 1e-8).sqrt()
        if up:  # zeros between samples; correlating with the turned kernel convolves
            spread = with_zeros(sample[None])
            y = filtered(F.conv2d(F.pad(spread, (2, 1, 2, 1)), own.flip(2, 3)), 1, 1, gain=4)
        else:
            y = F.conv2d(sample[None], own, padding=1)
        rows.append(y)
    y = torch.cat(rows) + noise * t[f"{name}.noise_strength"] + t[f"{name}.bias"][:, None, None]
    return active(y)


def generator(t: Tensors, z: Tensor, conditions: Tensor | None, noise: list[Tensor], psi: float = 1.0) -> Tensor:
    """Images [N, C, R, R], float64. noise: one map a convolution, 4 px first."""
    t = {name: value.double() for name, value in t.items()}
    noises = iter(noise)
    w = mapping(t, z.double(), conditions)
    w = t["mapping.w_avg"] + psi * (w - t["mapping.w_avg"])
    x = t["synthesis.b4.const"].expand(len(z), -1, -1, -1)
    image: Tensor | None = None
    for r in itertools.takewhile(lambda r: f"synthesis.b{r}.conv1.weight" in t, (2**k for k in itertools.count(2))):
        if r > 4:
            x = styled(t, f"synthesis.b{r}.conv0", x, w, next(noises).double(), up=True)
        x = styled(t, f"synthesis.b{r}.conv1", x, w, next(noises).double(), up=False)
        name = f"synthesis.b{r}.torgb"
        style = linear(t, f"{name}.affine", w) / math.sqrt(x.shape[1])
        colours = F.conv2d(x * style[:, :, None, None], t[f"{name}.weight"]) + t[f"{name}.bias"][:, None, None]
        image = colours if image is None else filtered(with_zeros(image), 2, 1, gain=4) + colours
    assert image is not None
    return image


def convolved(t: Tensors, name: str, x: Tensor, stride: int = 1) -> Tensor:
    weight = t[f"{name}.weight"]
    size = weight.shape[-1]
    if stride == 2:
        x = filtered(x, 1 + size // 2, 1 + size // 2)
    y = F.conv2d(x, weight / math.sqrt(weight[0].numel()), stride=stride, padding=size // 2 if stride == 1 else 0)
    return y if f"{name}.bias" not in t else active(y + t[f"{name}.bias"][:, None, None])


def discriminator(t: Tensors, images: Tensor, conditions: Tensor | None) -> Tensor:
    """Logits [N] of one group of images."""
    t = {name: value.double() for name, value in t.items()}
    side = images.shape[-1]
    x = convolved(t, f"b{side}.fromrgb", images.double())
    for r in reversed(sides(side)[1:]):
        both = convolved(t, f"b{r}.skip", x, 2) + convolved(t, f"b{r}.conv1", convolved(t, f"b{r}.conv0", x), 2)
        x = both / math.sqrt(2)
    spread = (x.var(dim=0, unbiased=False) + 1e-8).sqrt().mean()
    x = convolved(t, "b4.conv", torch.cat([x, spread.expand(len(x), 1, 4, 4)], dim=1))
    x = linear(t, "b4.out", active(linear(t, "b4.fc", x.flatten(1))))
    if conditions is None:
        return x[:, 0]
    return (x * mapping(t, None, conditions)).sum(dim=1) / math.sqrt(x.shape[1])
