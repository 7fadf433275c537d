"""Weights from files of all the kinds that are about, taken whole; anything else refused with its name."""

from collections import OrderedDict

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from pumpgan.models.classifier import Classifier
from pumpgan.models.segmenter import Segmenter
from pumpgan.models.weights import load_encoder


def small_encoder() -> nn.Module:
    return nn.Sequential(OrderedDict(conv1=nn.Conv2d(1, 2, 3), bn1=nn.BatchNorm2d(2), layer1=nn.Conv2d(2, 2, 1)))


def written(path, state):
    (save_file if path.suffix == ".safetensors" else torch.save)(state, path)
    return path


def loads(path, trained) -> bool:
    """Whether an encoder that loads the file has become the trained one."""
    fresh = small_encoder()
    load_encoder(fresh, path)
    return all(torch.equal(value, trained.state_dict()[name]) for name, value in fresh.state_dict().items())


@pytest.mark.parametrize("file", ["a.safetensors", "a.pth", "a.pt"])
@pytest.mark.parametrize("prefix", ["", "module.", "encoder.", "backbone.", "module.encoder."])
def test_every_weight_is_found_behind_the_usual_prefixes(tmp_path, file, prefix):
    trained = small_encoder()
    state = {prefix + name: value for name, value in trained.state_dict().items()}
    state |= {f"{prefix}fc.weight": torch.zeros(3), f"{prefix}last_linear.bias": torch.zeros(1)}
    if prefix:
        state["decoder.conv1.weight"] = torch.zeros(2)
    assert loads(written(tmp_path / file, state), trained)


def test_a_part_that_is_named_like_a_prefix_is_found_too(tmp_path):
    fresh, trained = (nn.Sequential(OrderedDict(encoder=nn.Linear(2, 1))) for _ in range(2))
    load_encoder(fresh, written(tmp_path / "a.pth", {f"module.{k}": v for k, v in trained.state_dict().items()}))
    assert torch.equal(fresh.encoder.weight, trained.encoder.weight)


@pytest.mark.parametrize("wrapper", ["state_dict", "model"])
def test_a_state_dict_beside_other_things_is_found(tmp_path, wrapper):
    trained = small_encoder()
    assert loads(written(tmp_path / "a.pth", {wrapper: trained.state_dict(), "epoch": 3, "lr": 0.1}), trained)


def test_counters_that_old_files_lack_are_no_weights(tmp_path):
    trained = small_encoder()
    state = {name: value for name, value in trained.state_dict().items() if "num_batches" not in name}
    assert loads(written(tmp_path / "a.pth", state), trained)


def without(name):
    return lambda state: state.pop(name)


@pytest.mark.parametrize(
    "change, message",
    [
        (without("bn1.running_var"), "of 8 weights 1 missing, first bn1.running_var"),
        (
            lambda state: state.update({"conv1.weight": torch.zeros(2, 1, 7, 7)}),
            r"1 misshapen, first conv1.weight \(\[2, 1, 7, 7\], not \[2, 1, 3, 3\]\)",
        ),
        (lambda state: state.update({"layer1.2.weight": torch.zeros(1)}), "1 unknown, first layer1.2.weight"),
        (lambda state: [state.pop(name) for name in list(state)[:-1]], "7 missing, first conv1.weight"),
    ],
)
def test_another_network_s_weights_are_refused_and_none_is_loaded(tmp_path, change, message):
    state = dict(small_encoder().state_dict())
    change(state)
    path = written(tmp_path / "other.pth", state)
    fresh = small_encoder()
    before = {name: value.clone() for name, value in fresh.state_dict().items()}
    with pytest.raises(ValueError, match=f"other.pth: is of another network: .*{message}"):
        load_encoder(fresh, path)
    assert all(torch.equal(value, before[name]) for name, value in fresh.state_dict().items())


@pytest.mark.parametrize("file", ["a.safetensors", "a.pth"])
@pytest.mark.parametrize("kept", [0.0, 0.01, 0.5, 0.99])
def test_a_file_cut_short_is_named(tmp_path, file, kept):
    path = written(tmp_path / file, small_encoder().state_dict())
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(ValueError, match=f"{file}: is cut short"):
        load_encoder(small_encoder(), path)


@pytest.mark.parametrize("content", [{}, [torch.zeros(1)], {"epoch": 1}, {1: torch.zeros(1)}, torch.zeros(2)])
def test_a_file_without_a_state_dict_is_named(tmp_path, content):
    with pytest.raises(ValueError, match=r"a.pth: holds something else than weights"):
        load_encoder(small_encoder(), written(tmp_path / "a.pth", content))


def test_a_file_that_would_run_code_is_refused(tmp_path):
    class Planted:
        def __reduce__(self):
            return (print, ("executed",))

    with pytest.raises(ValueError, match=r"a.pth: is cut short, or no weights") as raised:
        load_encoder(small_encoder(), written(tmp_path / "a.pth", {"conv1.weight": Planted()}))
    assert "weights_only" not in str(raised.value)  # torch's advice: to run it


def test_a_text_is_no_weights(tmp_path):
    (tmp_path / "a.pth").write_text("<html>not found</html>\n" * 50)
    with pytest.raises(ValueError, match=r"a.pth: is cut short, or no weights"):
        load_encoder(small_encoder(), tmp_path / "a.pth")


@pytest.mark.parametrize("name", ["absent.pth", "folder.pth"])
def test_a_file_that_is_none_is_named(tmp_path, name):
    (tmp_path / "folder.pth").mkdir()
    with pytest.raises(FileNotFoundError, match=f"{name}: is no file"):
        load_encoder(small_encoder(), tmp_path / name)


def test_resnet18_as_published_loads_and_resnet34_does_not(tmp_path):
    from torchvision.models import resnet18, resnet34

    published, network = resnet18(), Classifier()
    head = network.head.weight.clone()
    network.load_encoder_weights(written(tmp_path / "resnet18.pth", published.state_dict()))
    assert torch.equal(network.encoder.layer4[1].conv2.weight, published.layer4[1].conv2.weight)
    assert torch.equal(network.head.weight, head)
    with pytest.raises(ValueError, match=r"another network.*unknown, first layer1.2"):
        network.load_encoder_weights(written(tmp_path / "resnet34.pth", resnet34().state_dict()))


def test_a_segmenter_takes_an_encoder_of_its_kind_alone(tmp_path):
    network, other = Segmenter(2), Segmenter(2)
    state = {**other.network.encoder.state_dict(), "last_linear.weight": torch.zeros(1000, 2048)}
    network.load_encoder_weights(written(tmp_path / "se_resnext50_32x4d.pth", state))
    assert torch.equal(network.network.encoder.layer0.conv1.weight, state["layer0.conv1.weight"])
    with pytest.raises(ValueError, match="another network"):
        network.load_encoder_weights(written(tmp_path / "resnet18.pth", Classifier().encoder.state_dict()))
