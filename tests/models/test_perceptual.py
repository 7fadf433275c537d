"""LPIPS: the figures of the package lpips, gradients where that has none, and files that are not VGG-16."""

import copy
import subprocess
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import lpips
import pytest
import torch
from safetensors.torch import save_file

from pumpgan.models.perceptual import BLOCKS, Perceptual, channel_weights, load_perceptual


def vgg_features() -> torch.nn.Sequential:
    """Convolutions of VGG-16 with drawn weights, as torchvision lays them out; its classifier would be 90 % of it."""
    layers, inputs = [], 3
    for outputs in BLOCKS:
        for a, b in pairwise((inputs, *outputs)):
            layers += [torch.nn.Conv2d(a, b, 3, padding=1), torch.nn.ReLU()]
        layers.append(torch.nn.MaxPool2d(2))
        inputs = outputs[-1]
    for layer in layers:
        if isinstance(layer, torch.nn.Conv2d):  # as far from zero as trained ones, so that no block dies
            torch.nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    return torch.nn.Sequential(*layers)


@pytest.fixture(scope="module")
def features():
    torch.manual_seed(0)
    return vgg_features()


@pytest.fixture(scope="module")
def state(features):
    return {f"features.{name}": tensor.bfloat16() for name, tensor in features.state_dict().items()}


@pytest.fixture(scope="module")
def vgg_file(state, tmp_path_factory):
    path = tmp_path_factory.mktemp("vgg") / "vgg16.safetensors"
    save_file(state, path)
    return path


@pytest.fixture(scope="module")
def perceptual(vgg_file) -> Perceptual:
    return load_perceptual(vgg_file)


def test_the_distance_is_that_of_the_lpips_package(perceptual, features, state, monkeypatch):
    features.load_state_dict({name.removeprefix("features."): tensor.float() for name, tensor in state.items()})
    monkeypatch.setattr("torchvision.models.vgg16", lambda **unused: SimpleNamespace(features=features))
    published = lpips.LPIPS(net="vgg", pnet_rand=True, verbose=False)
    a, b = torch.rand(2, 3, 3, 32, 48) * 2 - 1
    torch.testing.assert_close(perceptual(a, b), published(a, b).flatten())


def test_an_image_is_at_no_distance_from_itself_and_distances_do_not_mix(perceptual):
    a, b = torch.rand(2, 2, 1, 16, 16) * 2 - 1
    assert perceptual(a, a).tolist() == [0, 0]
    torch.testing.assert_close(perceptual(a, b)[:1], perceptual(a[:1], b[:1]))
    assert (perceptual(a, b) > 0).all()


def test_gradients_reach_the_image_alone_and_are_finite_where_no_feature_answers(perceptual):
    silent = copy.deepcopy(perceptual)
    for block in silent.blocks[1:]:
        block[-2].bias.fill_(-1e4)  # of the last convolution, so that all features are zero
    image = torch.zeros(1, 3, 16, 16, requires_grad=True)
    distance = silent(image, torch.rand(1, 3, 16, 16)).sum()
    distance.backward()
    assert distance.isfinite()
    assert image.grad.isfinite().all() and image.grad.abs().sum() > 0
    assert all(p.grad is None for p in silent.parameters())


def test_a_file_of_torch_reads_as_one_of_safetensors(perceptual, state, tmp_path):
    path = tmp_path / "vgg16.pth"
    torch.save({**state, "classifier.0.bias": torch.zeros(3)}, path)
    a, b = torch.rand(2, 1, 3, 16, 16)
    assert torch.equal(load_perceptual(path)(a, b), perceptual(a, b))


def test_none_is_no_network():
    assert load_perceptual("none") is None


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"absent\.pth: is no file; --perceptual takes"):
        load_perceptual(tmp_path / "absent.pth")


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_a_file_cut_short_is_refused_in_one_line(vgg_file, state, tmp_path, suffix):
    whole, path = vgg_file, tmp_path / f"cut.{suffix}"
    if suffix == "pth":
        torch.save(state, whole := tmp_path / "whole.pth")
    path.write_bytes(whole.read_bytes()[:100_000])
    with pytest.raises(ValueError, match=rf"cut\.{suffix}: is cut short") as caught:
        load_perceptual(path)
    assert "\n" not in str(caught.value)


class Dangerous:
    def __reduce__(self):
        return subprocess.run, (["touch", "harm"],)


def test_pickled_code_is_refused_and_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"features.0.weight": Dangerous()}, "vgg.pth")
    with pytest.raises(ValueError, match="is cut short, or no weights"):
        load_perceptual(Path("vgg.pth"))
    assert not (tmp_path / "harm").exists()


def test_another_network_is_refused_by_what_it_lacks_or_has_otherwise(state, tmp_path):
    path = tmp_path / "other.safetensors"
    save_file({"conv1.weight": torch.zeros(2, 3)}, path)
    with pytest.raises(ValueError, match=r"is not VGG-16: features\.0\.weight must be \[64, 3, 3, 3\], is not there"):
        load_perceptual(path)
    save_file({**state, "features.2.weight": torch.zeros(4, 4, 3, 3)}, path)
    with pytest.raises(
        ValueError, match=r"is not VGG-16: features\.2\.weight must be \[64, 64, 3, 3\], is \[4, 4, 3, 3\]"
    ):
        load_perceptual(path)


def test_without_the_package_lpips_one_line_says_what_to_install(vgg_file, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ValueError, match="needs the package lpips: pip install"):
        load_perceptual(vgg_file)


def test_weights_are_one_for_each_channel_and_not_negative():
    weights = channel_weights()
    assert [w.numel() for w in weights] == [outputs[-1] for outputs in BLOCKS]
    assert all((w >= 0).all() for w in weights)


def test_images_too_small_for_five_blocks_are_refused(perceptual):
    with pytest.raises(ValueError, match="sides of at least 16"):
        perceptual.features(torch.zeros(1, 3, 8, 16))
