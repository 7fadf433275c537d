"""Networks of stylegan2-ada-pytorch compute the same as a run of ours, and what ours cannot be is refused."""

from pathlib import Path

import pytest
import stylegan2_definition as definition
import torch
from click.testing import CliRunner
from nvidia_pickles import module, snapshot, write
from torch import Tensor

from pumpgan.cli.main import main
from pumpgan.data.dataset import Dataset, Entry
from pumpgan.data.importers.nvidia_zip import CLASSES
from pumpgan.data.writer import DatasetWriter
from pumpgan.inference.samples import TrainedGenerator
from pumpgan.train.checkpoint import latest
from pumpgan.train.nvidia_networks import convert
from pumpgan.train.record import RunRecord
from pumpgan.train.stylegan2_ada import Stylegan2Ada

WIDTH, Z, W, DEPTH = 6, 8, 10, 3
WIDTHS = {"channel_base": 1024, "channel_max": WIDTH, "num_fp16_res": 4, "conv_clamp": 256}
CASES = {"colour": (16, 3, 0), "grey conditional": (8, 1, 3)}  # side, channels, conditions


def arguments(case: str) -> tuple[dict, dict]:
    side, channels, conditions = CASES[case]
    shared = {"c_dim": conditions, "img_resolution": side, "img_channels": channels}
    inner = {"mapping_kwargs": {"num_layers": DEPTH}, "synthesis_kwargs": dict(WIDTHS)}
    parts = {"block_kwargs": {}, "mapping_kwargs": {}, "epilogue_kwargs": {"mbstd_group_size": 4}}
    return shared | {"z_dim": Z, "w_dim": W} | inner, shared | WIDTHS | parts


def networks(case: str) -> dict[str, dict[str, Tensor]]:
    shapes = definition.shapes_of_generator(*CASES[case], WIDTH, Z, W, DEPTH)
    judge = definition.filled(definition.shapes_of_discriminator(*CASES[case], WIDTH), 2)
    return {"G": definition.filled(shapes, 0), "D": judge, "G_ema": definition.filled(shapes, 1)}


def made(case: str, tensors: dict | None = None, g: dict | None = None, d: dict | None = None) -> dict:
    """The content of a snapshot; what is given replaces what is usual."""
    of_g, of_d = arguments(case)
    named = networks(case) | (tensors or {})
    buffers = ("w_avg", "noise_const", "resample_filter")
    own = {"G": g or of_g, "D": d or of_d, "G_ema": g or of_g}
    parts = {name: module(values, own[name], buffers=buffers) for name, values in named.items()}
    return snapshot(parts["G"], parts["D"], parts["G_ema"], {"path": "set.zip", "xflip": True})


def converted(tmp_path: Path, case: str) -> Path:
    convert(write(tmp_path / "network.pkl", made(case)), tmp_path / "run")
    return tmp_path / "run"


def loaded(run: Path) -> Stylegan2Ada:
    record = RunRecord.read(run)
    gan = Stylegan2Ada(record.config, record.task, torch.device("cpu"), torch.float32)
    checkpoint = latest(run)
    gan.load_tensors(*(checkpoint.tensors(f"{name}.safetensors") for name in ("model", "optimizer")), checkpoint.step)
    return gan


def assert_near(actual: Tensor, truth: Tensor) -> None:
    """float32 beside float64 through some twenty layers."""
    assert actual.dtype == torch.float32 and truth.abs().max() > 0.1
    assert (actual - truth).abs().max() < 2e-5 * truth.abs().max()


@pytest.mark.parametrize("case", CASES)
@torch.no_grad()
def test_both_generators_draw_what_the_definition_does_with_their_tensors(tmp_path, case):
    gan, named = loaded(converted(tmp_path, case)), networks(case)
    conditions = torch.tensor([0, 2, 1]) if CASES[case][2] else None
    z = torch.randn(3, Z)
    noise = [torch.randn(shape) for shape in gan.generator.noise_shapes(3)]
    for ours, theirs in ((gan.generator, named["G"]), (gan.averaged, named["G_ema"])):
        styles = ours.mixed_styles(z, conditions=conditions)
        for psi in (1.0, 0.7):
            drawn = ours(ours.mapping.average.lerp(styles, psi), noise).images
            assert_near(drawn, definition.generator(theirs, z, conditions, noise, psi))


@pytest.mark.parametrize("case", CASES)
@torch.no_grad()
def test_the_discriminator_judges_as_the_definition_does(tmp_path, case):
    gan, named = loaded(converted(tmp_path, case)), networks(case)
    side, channels, conditions = CASES[case]
    numbers = torch.tensor([0, 2, 1, 1]) if conditions else None
    images = torch.randn(4, channels, side, side)
    assert_near(
        gan.image_discriminator(images, conditions=numbers), definition.discriminator(named["D"], images, numbers)
    )


def test_the_run_says_where_it_is_from_and_draws_like_any_other(tmp_path):
    run = converted(tmp_path, "grey conditional")
    record = RunRecord.read(run)
    assert (record.model, record.size, record.channels, record.flips) == ("stylegan2-ada", (8, 8), 1, "h")
    assert record.networks == str(tmp_path / "network.pkl") and record.conditions == ("0", "1", "2")
    drawn = next(TrainedGenerator(run).samples(0, truncation=0.7, condition=1))
    assert drawn.images.shape == (32, 8, 8, 1) and drawn.labels is None
    said = CliRunner().invoke(main, ["generate", "--run", str(run), "--count", "5", "--out", str(tmp_path / "drawn")])
    assert said.exit_code == 0, said.output
    assert len(Dataset.open(tmp_path / "drawn").entries) == 5


def dataset(folder: Path, side: int = 8, labels: tuple[str, ...] = ("0", "1", "2")) -> Path:
    sets = dict(name="noise", size=(side, side), channels=1, flips="none", image_labels=labels)
    with DatasetWriter(folder, classes=CLASSES, **sets) as writer:
        for i in range(12):
            pixels = torch.randint(0, 256, (side, side), dtype=torch.uint8).numpy()
            writer.add(Entry(f"image_{i}", "train", (f"image_{i}",), f"image_{i}", image_label=labels[i % 3]), pixels)
    return folder


def test_training_begins_with_the_networks_of_a_converted_run_and_does_not_resume_it(tmp_path):
    run, data = converted(tmp_path, "grey conditional"), dataset(tmp_path / "data")
    begin = ["train", "--model", "stylegan2-ada", "--networks", str(run), "--data", str(data), "--conditional"]
    rest = ["--out", str(tmp_path / "more"), "--steps", "1", "--batch", "4", "--device", "cpu", "--augment", "none"]
    said = CliRunner().invoke(main, [*begin, *rest])
    assert said.exit_code == 0, said.output
    first = latest(run).tensors("model.safetensors")
    after = latest(tmp_path / "more").tensors("model.safetensors")
    assert first.keys() == after.keys() and not torch.equal(first["generator.start"], after["generator.start"])
    torch.testing.assert_close(first["generator.start"], after["generator.start"], atol=0.02, rtol=0)
    again = CliRunner().invoke(main, ["train", "--resume", str(run), "--data", str(data), "--steps", "2"])
    assert again.exit_code == 1 and "was converted, not trained; begin a run with its networks" in again.output


def test_the_command_names_the_classes_and_writes_nothing_over(tmp_path):
    pickle = write(tmp_path / "network.pkl", made("grey conditional"))
    make = ["convert", str(pickle), "--out", str(tmp_path / "run")]
    said = CliRunner().invoke(main, [*make, "--class-names", "cat,dog,owl"])
    assert said.exit_code == 0 and "8x8, 1 channel, image labels cat, dog, owl" in said.output
    assert RunRecord.read(tmp_path / "run").conditions == ("cat", "dog", "owl")
    again = CliRunner().invoke(main, make)
    assert again.exit_code == 1 and "is not empty" in again.output
    for names in ("cat,dog", "a,b,c,d"):
        refused(tmp_path, made("grey conditional"), "class_names: must name 3 classes", class_names=names)
    refused(tmp_path, made("colour"), "class_names: the networks are not conditional", class_names="a,b")


# Refused -----------------------------------------------------------------------------------------------------


def refused(tmp_path: Path, content: dict, match: str, **options) -> None:
    pickle = write(tmp_path / "refused.pkl", content)
    with pytest.raises(ValueError, match=match) as raised:
        convert(pickle, tmp_path / "none", **options)
    assert str(raised.value).startswith(f"{pickle}: ") and not (tmp_path / "none").exists()


G_FAULTS = {
    "another architecture": ("synthesis_kwargs", "architecture", "resnet"),
    "another filter": ("synthesis_kwargs", "resample_filter", [1, 2, 1]),
    "no noise": ("synthesis_kwargs", "use_noise", False),
    "another activation": ("synthesis_kwargs", "activation", "relu"),
    "another clamp": ("synthesis_kwargs", "conv_clamp", 100),
    "another rate": ("mapping_kwargs", "lr_multiplier", 0.1),
    "other features": ("mapping_kwargs", "layer_features", W + 1),
    "something unknown": ("mapping_kwargs", "magic", 1),
}


@pytest.mark.parametrize("fault", G_FAULTS)
def test_a_generator_that_ours_cannot_be_is_refused(tmp_path, fault):
    part, name, value = G_FAULTS[fault]
    g, _ = arguments("colour")
    g[part] = g[part] | {name: value}
    refused(tmp_path, made("colour", g=g), rf"ours cannot have G\.{part}'s {name} = ")


D_FAULTS = {
    "the first architecture": ({"architecture": "orig"}, "D's architecture = 'orig'"),
    "no deviation": ({"epilogue_kwargs": {"mbstd_num_channels": 0}}, r"D\.epilogue_kwargs's mbstd_num_channels = 0"),
    "another filter": ({"block_kwargs": {"resample_filter": [1]}}, r"D\.block_kwargs's resample_filter"),
    "a shallow mapping": ({"mapping_kwargs": {"num_layers": 2}}, r"D\.mapping_kwargs's num_layers = 2"),
    "a narrow mapping": ({"cmap_dim": 3}, "D's cmap_dim = 3"),
    "other widths": ({"channel_max": WIDTH + 1}, "other widths than each other"),
    "another size": ({"img_resolution": 16}, "differ in img_resolution"),
    "a size that is none": ({"img_resolution": 12}, "D's img_resolution = 12"),
    "four channels": ({"img_channels": 4}, "D's img_channels = 4"),
    "a text": ({"channel_base": "1024"}, "D's channel_base = '1024'"),
}


@pytest.mark.parametrize("fault", D_FAULTS)
def test_a_discriminator_that_ours_cannot_be_is_refused(tmp_path, fault):
    changed, match = D_FAULTS[fault]
    _, d = arguments("grey conditional")
    refused(tmp_path, made("grey conditional", d=d | changed), match)


def test_arguments_that_are_lacking_or_out_of_proportion_are_refused(tmp_path):
    g, _ = arguments("colour")
    refused(tmp_path, made("colour", g={k: v for k, v in g.items() if k != "z_dim"}), "G is made without z_dim")
    refused(tmp_path, made("colour", g=g | {"w_dim": 2**40}), "G's w_dim = 1099511627776")
    refused(tmp_path, made("colour", g=g | {"w_dim": 2**16}), r"affine\.weight must be \[6, 65536\], got \[6, 10\]")
    refused(tmp_path, made("colour", g=g | {"z_dim": 0}), "latent-size: must be at least 1")
    endless = g["mapping_kwargs"] | {"num_layers": 10**9}
    refused(tmp_path, made("colour", g=g | {"mapping_kwargs": endless}), "num_layers")
    content = made("colour")
    content["G_ema"].arguments[0]["state"]["_init_kwargs"] = g | {"z_dim": Z + 1}
    refused(tmp_path, content, "G_ema was made with other arguments")


TENSOR_FAULTS = {
    "lacking": ("G", "mapping.fc1.weight", None, r"G lacks mapping\.fc1\.weight"),
    "unknown": ("D", "b8.fromrgb.weight", torch.ones(1), r"D has b8\.fromrgb\.weight, which ours has not"),
    "of another size": (
        "G",
        "synthesis.b8.conv0.weight",
        torch.ones(6, 6, 1, 1),
        r"must be \[6, 6, 3, 3\], got \[6, 6, 1",
    ),
    "not finite": ("D", "b4.fc.bias", torch.full((6,), torch.nan), r"D's b4\.fc\.bias holds numbers that are not fin"),
    "another filter": ("G_ema", "synthesis.b8.resample_filter", torch.eye(4), "G_ema has another filter"),
    "a long filter": ("D", "b8.skip.resample_filter", torch.ones(12), "D has another filter"),
}


@pytest.mark.parametrize("fault", TENSOR_FAULTS)
def test_tensors_that_do_not_fit_are_named(tmp_path, fault):
    what, name, value, match = TENSOR_FAULTS[fault]
    tensors = networks("colour")[what]
    tensors = {k: v for k, v in tensors.items() if k != name} | ({} if value is None else {name: value})
    refused(tmp_path, made("colour", {what: tensors}), match)


def unclamped(case: str) -> tuple[dict, dict]:
    g, d = arguments(case)
    return g | {"synthesis_kwargs": g["synthesis_kwargs"] | {"conv_clamp": None}}, d | {"conv_clamp": None}


def test_networks_without_clamps_are_taken_unless_ours_would_clamp_them(tmp_path):
    g, d = unclamped("colour")
    content = made("colour", g=g, d=d)
    convert(write(tmp_path / "network.pkl", content), tmp_path / "run")
    wild = networks("colour")
    wild["G_ema"]["synthesis.b16.conv1.bias"] += 300
    wild["G_ema"]["synthesis.b16.torgb.weight"] *= 0  # colours and what judges them stay small
    refused(tmp_path, made("colour", wild, g=g, d=d), "values reach 256 where only one side clamps them")


def test_colours_that_only_theirs_clamp_are_refused(tmp_path):
    wild = networks("colour")
    wild["G_ema"]["synthesis.b8.torgb.bias"] += 300
    wild["D"]["b16.fromrgb.weight"] *= 0
    refused(tmp_path, made("colour", wild), "values reach 256 where only one side clamps them")
