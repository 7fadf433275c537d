"""Networks of stylegan2-ada-pytorch as a run of ours: their arguments as a configuration, their tensors by our names.

The networks are the same functions; what theirs can be and ours cannot is refused. Three things differ that are not a
trained network's own: their fixed noise (noise_const) is left out, our batch statistics take four neighbouring samples
for a group, and their clamp of what is added to the colours, or lack of one elsewhere, is only accepted where it
changes nothing.
"""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pumpgan.data.dataset import raise_faults
from pumpgan.data.importers.nvidia_zip import CLASSES, class_names_of
from pumpgan.data.writer import new_folder
from pumpgan.models.discriminators import ImageDiscriminator
from pumpgan.models.layers import ACTIVATION_CLAMP, EqualConv2d, Heads, StyledConv, low_pass_taps
from pumpgan.ops import implementation
from pumpgan.train.checkpoint import save_checkpoint, versions
from pumpgan.train.config import Stylegan2AdaConfig
from pumpgan.train.gan import build_generator, build_image_discriminator, widths_of
from pumpgan.train.learner import Task
from pumpgan.train.loop import Goal
from pumpgan.train.nvidia_pickle import Network, NvidiaPickle, read_nvidia_pickle
from pumpgan.train.presets import settled
from pumpgan.train.record import RunRecord
from pumpgan.train.seeds import derived_seed
from pumpgan.train.stylegan2_ada import Stylegan2Ada

MODEL = "stylegan2-ada"
PROBES = 4  # samples drawn to see how far activations reach
Tensors = dict[str, Tensor]


def convert(pickle: Path, out: Path, *, class_names: str | None = None) -> RunRecord:
    """Makes a run at `out` (absent or empty), trained for 0 steps, of the networks in a pickle.

    class_names: of what a conditional network was trained on, joined by commas; None: 0, 1, 2, ...
    Raises OSError or ValueError, with the pickle's path, where it cannot be read or is of networks that ours cannot be.
    """
    found = read_nvidia_pickle(pickle)
    try:
        config = config_of(found)
        names = conditions_of(found, class_names)
        side = config.resolution
        task = Task((side, side), found.generator.arguments["img_channels"], conditions=names)
        networks = tensors_of(found, config, task)
    except (ValueError, RecursionError) as error:  # the latter where what it holds is nested without end
        raise ValueError(f"{pickle}: {error}") from error
    gan = Stylegan2Ada(config, task, torch.device("cpu"), torch.float32)
    gan.load_networks(networks)
    try:
        check_reach(gan, clamped=[own.get("conv_clamp") is not None for own in widths_arguments(found)])
    except ValueError as error:
        raise ValueError(f"{pickle}: {error}") from error
    record = RunRecord(
        MODEL,
        "converted",
        config,
        data=(),
        unlabelled=(),
        class_table=tuple(asdict(c) for c in CLASSES),
        size=task.size,
        channels=task.channels,
        flips="h" if found.training_set.get("xflip") is True else "none",
        digest="",
        device="cpu",
        goal=Goal(steps=0),
        ops=implementation.in_use(),
        conditions=names,
        condition_counts=(1,) * len(names),  # how often each was seen is not in the file
        networks=str(pickle.resolve()),
    )
    state = {"step": 0, "images": 0, "seconds": 0.0, "finished": True, "threads": torch.get_num_threads()}
    with new_folder(out) as folder:
        record.write(folder)
        save_checkpoint(folder, *gan.tensors(), state | {"versions": versions(), "digest": ""}, snapshot=False)
    return record


# Arguments ---------------------------------------------------------------------------------------------------

ANY = object()  # changes the speed, or how it was trained
SIDES = tuple(2**k for k in range(3, 15))
SIZE, DEPTH, BASE = range(2**16 + 1), range(1, 2**8 + 1), range(1, 2**24 + 1)
SHARED: dict[str, Any] = {"c_dim": SIZE, "img_resolution": SIDES, "img_channels": (1, 3)}
GENERATOR = SHARED | {"z_dim": SIZE, "w_dim": SIZE, "mapping_kwargs": dict, "synthesis_kwargs": dict}
LAYERS: dict[str, Any] = {"activation": ("lrelu",), "resample_filter": ([1, 3, 3, 1],), "fp16_channels_last": ANY}
WIDTHS: dict[str, Any] = {"channel_base": BASE, "channel_max": BASE, "num_fp16_res": ANY, "conv_clamp": (256,)}
SYNTHESIS = LAYERS | WIDTHS | {"architecture": ("skip",), "use_noise": (True,), "fused_modconv_default": ANY}
PARTS = {"block_kwargs": dict, "mapping_kwargs": dict, "epilogue_kwargs": dict}
DISCRIMINATOR = SHARED | WIDTHS | PARTS | {"architecture": ("resnet",)}
BLOCKS = LAYERS | {"freeze_layers": ANY}
EPILOGUE = {"activation": ("lrelu",), "mbstd_group_size": ANY, "mbstd_num_channels": (1,)}


def mapping_arguments(depth: Any, features: Any) -> dict[str, Any]:
    widths = {"embed_features": (features,), "layer_features": (features,)}
    return widths | {"num_layers": depth, "activation": ("lrelu",), "lr_multiplier": (0.01,), "w_avg_beta": ANY}


def widths_arguments(found: NvidiaPickle) -> tuple[dict[str, Any], dict[str, Any]]:
    """The arguments that say how wide G and D are."""
    return found.generator.arguments.get("synthesis_kwargs", {}), found.discriminator.arguments


def config_of(found: NvidiaPickle) -> Stylegan2AdaConfig:
    """The configuration that gives our networks these sizes. Raises ValueError that lists what ours cannot be."""
    g, d = found.generator.arguments, found.discriminator.arguments
    lacking = [f"G is made without {name}" for name in (*SHARED, "z_dim", "w_dim") if name not in g]
    raise_faults("arguments", [*lacking, *differences("G", g, GENERATOR), *differences("D", d, DISCRIMINATOR)])
    mapping, (synthesis, _) = g.get("mapping_kwargs", {}), widths_arguments(found)
    faults = [*differences("G.mapping_kwargs", mapping, mapping_arguments(DEPTH, g["w_dim"]))]
    faults += differences("G.synthesis_kwargs", synthesis, SYNTHESIS)
    for name, allowed in (("block_kwargs", BLOCKS), ("epilogue_kwargs", EPILOGUE)):
        faults += differences(f"D.{name}", d.get(name, {}), allowed)
    faults += ["G_ema was made with other arguments than G"] if found.averaged.arguments != g else []
    faults += [f"G and D differ in {name}" for name in SHARED if g[name] != d.get(name)]
    widths = [(own.get("channel_base", 32768), own.get("channel_max", 512)) for own in widths_arguments(found)]
    faults += [f"G and D have other widths than each other, {widths}"] if widths[0] != widths[1] else []
    raise_faults("arguments", faults)
    config = Stylegan2AdaConfig(
        resolution=g["img_resolution"],
        conditional=g["c_dim"] > 0,
        channel_base=widths[0][0],
        channel_most=widths[0][1],
        latent_size=g["z_dim"],
        style_size=g["w_dim"],
        mapping_depth=mapping.get("num_layers", 8),
        precision="fp32",
    )
    if config.conditional:  # else D has no mapping
        last, depth = widths_of(config)(4), (ImageDiscriminator.MAPPING_DEPTH,)
        faults += differences("D.mapping_kwargs", d.get("mapping_kwargs", {}), mapping_arguments(depth, last))
        faults += differences("D", {"cmap_dim": d.get("cmap_dim")}, {"cmap_dim": (last,)})
        raise_faults("arguments", faults)
    return settled(config, (config.resolution, config.resolution))


def differences(where: str, arguments: Mapping[str, Any], allowed: Mapping[str, Any]) -> Iterator[str]:
    """What of the arguments is neither of the type, nor one of the values, that are allowed; None is a default."""
    for name, value in arguments.items():
        expected = allowed.get(name, ())
        if isinstance(expected, type):
            right = isinstance(value, expected)
        elif isinstance(expected, range):
            right = type(value) is int and value in expected
        else:
            right = expected is ANY or value in expected
        if not right and value is not None:
            yield f"ours cannot have {where}'s {name} = {value!r}"[:200]


def conditions_of(found: NvidiaPickle, class_names: str | None) -> tuple[str, ...]:
    """The names of the image labels that the networks are conditions on."""
    count = found.generator.arguments["c_dim"]
    if class_names is not None and count == 0:
        raise ValueError("class_names: the networks are not conditional; leave them out")
    names = class_names_of(class_names, count)
    if len(names) != count:
        raise ValueError(f"class_names: must name {count} classes, got {len(names)}")
    return names


# Tensors -----------------------------------------------------------------------------------------------------


def tensors_of(found: NvidiaPickle, config: Stylegan2AdaConfig, task: Task) -> Tensors:
    """The tensors of a run's networks. Raises ValueError where they are not of the sizes that the arguments say."""
    with torch.device("meta"):  # sizes alone: what a file says of them may be out of proportion
        generator = build_generator(config, task)
        discriminator = build_image_discriminator(config, task)
    tensors: Tensors = {}
    for what, ours, network, model, names in (
        ("G", "generator", found.generator, generator, generator_names(config)),
        ("G_ema", "averaged", found.averaged, generator, generator_names(config)),
        ("D", "image_discriminator", found.discriminator, discriminator, discriminator_names(config)),
    ):
        renamed = rename(what, network, names, model.state_dict())
        tensors |= {f"{ours}.{name}": value for name, value in renamed.items()}
    return tensors


def generator_names(config: Stylegan2AdaConfig) -> dict[str, str]:
    """The names of our generator's tensors by theirs."""
    names = mapping_names(config.mapping_depth, config.conditional)
    names |= {"mapping.w_avg": "mapping.average", "synthesis.b4.const": "start"}
    pairs: dict[str, str] = {}
    number = 0
    for level, side in enumerate(sides(config.resolution)):
        block = f"synthesis.b{side}"
        for conv in ("conv0", "conv1") if level else ("conv1",):
            pairs |= {f"{block}.{conv}": f"convs.{number}", f"{block}.{conv}.affine": f"convs.{number}.style"}
            names[f"{block}.{conv}.noise_strength"] = f"convs.{number}.noise_strength"
            number += 1
        pairs[f"{block}.torgb.affine"] = f"heads.{level}.styles.0"
        names[f"{block}.torgb.weight"] = f"heads.{level}.weights.0"
        names[f"{block}.torgb.bias"] = f"heads.{level}.bias"
    return names | leaves(pairs)


def discriminator_names(config: Stylegan2AdaConfig) -> dict[str, str]:
    """The names of our discriminator's tensors by theirs."""
    names = mapping_names(ImageDiscriminator.MAPPING_DEPTH, True) if config.conditional else {}
    pairs = {f"b{config.resolution}.fromrgb": "from_image", "b4.conv": "conv", "b4.fc": "hidden", "b4.out": "score"}
    for number, side in enumerate(reversed(sides(config.resolution)[1:])):
        pairs |= {f"b{side}.conv0": f"blocks.{number}.first", f"b{side}.conv1": f"blocks.{number}.second"}
        names[f"b{side}.skip.weight"] = f"blocks.{number}.skip.weight"
    return names | leaves(pairs)


def mapping_names(depth: int, conditional: bool) -> dict[str, str]:
    pairs = {f"mapping.fc{i}": f"mapping.layers.{i}" for i in range(depth)}
    return leaves(pairs | ({"mapping.embed": "mapping.embed"} if conditional else {}))


def leaves(pairs: Mapping[str, str]) -> dict[str, str]:
    return {f"{a}.{leaf}": f"{b}.{leaf}" for a, b in pairs.items() for leaf in ("weight", "bias")}


def sides(resolution: int) -> list[int]:
    return [2**k for k in range(2, resolution.bit_length())]


def rename(what: str, network: Network, names: Mapping[str, str], expected: Mapping[str, Tensor]) -> Tensors:
    """The tensors by our names, float32, in our sizes.

    Raises ValueError where one is lacking, unknown, of another size or not finite, or where a filter is not ours.
    """
    taps = low_pass_taps()
    faults = [f"{what} lacks {name}" for name in names if name not in network.tensors]
    renamed: Tensors = {}
    for name, value in network.tensors.items():
        leaf = name.rpartition(".")[2]
        if leaf == "resample_filter":
            same = value.shape == (4, 4) and torch.allclose(value.float(), torch.outer(taps, taps))
            faults += [] if same else [f"{what} has another filter than 1, 3, 3, 1: {name}"]
        elif name in names:
            size = expected[names[name]].shape
            if value.shape != size and value.shape != (*size, 1, 1):  # their colour layers are convolutions of 1x1
                faults.append(f"{what}'s {name} must be {list(size)}, got {list(value.shape)}")
            elif not value.is_floating_point() or not bool(torch.isfinite(value).all()):
                faults.append(f"{what}'s {name} holds numbers that are not finite")
            else:
                renamed[names[name]] = value.float().reshape(size)
        elif leaf != "noise_const":
            faults.append(f"{what} has {name}, which ours has not")
    raise_faults("tensors", faults)
    for name in expected.keys() - renamed.keys():  # a discriminator keeps no mean of its conditions' styles
        renamed[name] = torch.zeros(expected[name].shape)
    return renamed


@torch.no_grad()
def check_reach(gan: Stylegan2Ada, *, clamped: list[bool]) -> None:
    """Raises ValueError where a few samples show that clamping at 256, by one of the two sides only, changes anything.

    Ours clamp all activations but not the heads' colours; theirs clamp both, or neither. clamped: whether G and D do.
    """
    largest = [0.0]

    def note(module: nn.Module, inputs: Any, output: Tensor) -> None:
        largest.append(float(output.abs().max()))

    with ExitStack() as hooks:
        for network, clamps in zip((gan.averaged, gan.image_discriminator), clamped, strict=True):
            for module in network.modules():
                if isinstance(module, (Heads,) if clamps else (StyledConv, EqualConv2d)):
                    hooks.callback(module.register_forward_hook(note).remove)
        source = torch.Generator().manual_seed(derived_seed(0, "reach"))
        z = torch.randn(PROBES, gan.config.latent_size, generator=source)
        count = len(gan.task.conditions)
        conditions = torch.arange(PROBES) % count if count else None
        noise = [torch.randn(shape, generator=source) for shape in gan.averaged.noise_shapes(PROBES)]
        images = gan.averaged(gan.averaged.mixed_styles(z, conditions=conditions), noise).images
        gan.image_discriminator(images, conditions=conditions)
    if max(largest) >= ACTIVATION_CLAMP:
        raise ValueError(
            f"its values reach {ACTIVATION_CLAMP:g} where only one side clamps them there; ours would draw other images"
        )
