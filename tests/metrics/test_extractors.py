"""Each kind of Inception file is known by what it holds; what is none of them is refused; the stand-in is no FID."""

import io
import pickle
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from pumpgan.metrics.extractors import STAND_IN, load_extractor

pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.*:FutureWarning", "ignore:Detected pickle protocol")


def images(count: int = 2, side: int = 24, channels: int = 3) -> torch.Tensor:
    source = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (count, channels, side, side), dtype=torch.uint8, generator=source)


class ScriptLike(nn.Module):
    """Answers as NVIDIA's TorchScript does."""

    def __init__(self, size: int):
        super().__init__()
        self.size = size

    def forward(self, x: torch.Tensor, return_features: bool = False) -> torch.Tensor:
        features = x.float().mean(dim=(2, 3)).repeat(1, self.size)[:, : self.size]
        return features if return_features else features.softmax(dim=1)


def script(path: Path, size: int = 2048) -> Path:
    torch.jit.script(ScriptLike(size)).save(str(path))
    return path


@pytest.fixture(scope="module")
def torchvision_network():
    models = pytest.importorskip("torchvision.models")
    torch.manual_seed(0)
    return models.inception_v3(weights=None, aux_logits=True, transform_input=False, init_weights=False).eval()


@pytest.fixture(scope="module")
def torchvision_file(torchvision_network, tmp_path_factory):
    path = tmp_path_factory.mktemp("inception") / "inception_v3_google-test.pth"
    torch.save(torchvision_network.state_dict(), path)
    yield path
    path.unlink()  # 100 MB


@pytest.fixture(scope="module")
def tensorflow_file(tmp_path_factory):
    inception = pytest.importorskip("torch_fidelity.feature_extractor_inceptionv3")
    torch.manual_seed(0)
    with pytest.MonkeyPatch.context() as patch:  # the constructor wants weights, or the network
        patch.setattr(inception, "load_state_dict_from_url", lambda *args, **options: {})
        patch.setattr(inception.FeatureExtractorInceptionV3, "load_state_dict", lambda self, state: None)
        network = inception.FeatureExtractorInceptionV3("inception", ["2048"])
    path = tmp_path_factory.mktemp("inception") / "pt_inception-test.pth"
    torch.save(network.state_dict(), path)
    yield path, network
    path.unlink()


def test_nvidias_torchscript_is_asked_for_features(tmp_path):
    extractor = load_extractor(script(tmp_path / "inception-2015-12-05.pt"))
    assert (extractor.recipe.name, extractor.recipe.covariance, extractor.recipe.eps) == ("sg2", "N", 0)
    assert extractor.recipe.extractor == "inception-2015-12-05.pt" and len(extractor.recipe.sha256 or "") == 64
    assert torch.equal(extractor(images())[:, :3], images().float().mean(dim=(2, 3)))


def test_weights_ported_from_tensorflow_run_as_torch_fidelity_runs_them(tensorflow_file):
    path, network = tensorflow_file
    extractor = load_extractor(path)
    assert (extractor.recipe.name, extractor.recipe.covariance, extractor.recipe.eps) == ("sg2", "N", 0)
    assert torch.equal(extractor(images()), network(images())[0])


def test_torchvisions_weights_run_as_in_semantic_gan(torchvision_file, torchvision_network):
    extractor = load_extractor(torchvision_file)
    recipe = extractor.recipe
    assert (recipe.name, recipe.covariance, recipe.eps, recipe.features) == ("sem", "N - 1", 1e-6, 2048)
    pooled = []
    handle = torchvision_network.avgpool.register_forward_hook(lambda module, given, result: pooled.append(result))
    x = images().float() / 127.5 - 1  # as its generator draws
    x = ((x + 1) / 2 - torch.tensor([0.485, 0.456, 0.406])[:, None, None]) / torch.tensor([0.229, 0.224, 0.225])[
        :, None, None
    ]
    x = F.interpolate(x, (299, 299), mode="bilinear", align_corners=True)
    with torch.no_grad():
        torchvision_network(x)
    handle.remove()
    torch.testing.assert_close(extractor(images()), pooled[0].flatten(1), rtol=1e-4, atol=1e-5)
    extractor.network.network = nn.Identity()  # what goes into it
    torch.testing.assert_close(extractor.network(images()), x, rtol=1e-4, atol=1e-4)


def test_grey_images_are_repeated_to_three_channels(tmp_path):
    for path in (None, script(tmp_path / "script.pt")):
        extractor = load_extractor(path)
        grey = images(channels=1)
        assert torch.equal(extractor(grey), extractor(grey.repeat(1, 3, 1, 1)))


def test_no_more_images_than_fit_go_through_the_network_at_once(tmp_path):
    extractor = load_extractor(script(tmp_path / "script.pt"))
    sizes = []
    network, extractor.network = extractor.network, lambda x: sizes.append(len(x)) or network(x)
    assert extractor(images(70)).shape == (70, 2048)
    assert sizes == [32, 32, 6]
    assert extractor(images(0)).shape == (0, 2048)


class Malice:
    def __reduce__(self):
        return (Path.touch, (Path("was_run"),))


def test_what_is_no_inception_network_is_refused_by_name(tmp_path, torchvision_file, monkeypatch):
    monkeypatch.chdir(tmp_path)
    whole = torchvision_file.read_bytes()
    archive = script(tmp_path / "good.pt").read_bytes()
    state = torch.load(torchvision_file, weights_only=True)
    del state["Mixed_7c.branch1x1.conv.weight"]

    def saved(value) -> bytes:
        buffer = io.BytesIO()
        torch.save(value, buffer)
        return buffer.getvalue()

    for name, content, expected in (
        ("cut.pth", whole[: len(whole) // 2], "is cut short, or not of torch"),
        ("cut_script.pt", archive[: len(archive) // 2], "is cut short, or not of torch"),
        ("empty.pth", b"", "is cut short, or not of torch"),
        ("text.pth", b"not a network", "is cut short, or not of torch"),
        ("malice.pth", saved(Malice()), "is cut short, or not of torch"),
        ("malice.pkl", pickle.dumps(Malice()), "is cut short, or not of torch"),
        ("other.pth", saved({"conv.weight": torch.zeros(3)}), "holds no Inception v3"),
        ("list.pth", saved([torch.zeros(3)]), "something else than named tensors"),
        ("partial.pth", saved(state), "lacks parts of Inception v3"),
        ("small.pt", script(tmp_path / "s.pt", 64).read_bytes(), r"gives features \[1, 64\]"),
        ("plain.pt", plain_script(), "does not run on an image"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=f"{name}: .*{expected}.*--inception takes NVIDIA's") as raised:
            load_extractor(tmp_path / name)
        assert "weights_only" not in str(raised.value)  # torch's advice: to run what it refused
    assert not Path("was_run").exists()
    with pytest.raises(FileNotFoundError, match=r"absent\.pt: is no file; --inception takes"):
        load_extractor(tmp_path / "absent.pt")


def plain_script() -> bytes:
    """A script without the word return_features."""
    return bytes(torch.jit.script(nn.Flatten()).save_to_buffer())


def test_a_missing_library_is_named(torchvision_file, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "torchvision.models", None)
    with pytest.raises(ValueError, match=r"needs torchvision.*pip install 'pumpgan\[metrics\]'"):
        load_extractor(torchvision_file)


def test_the_stand_in_never_calls_itself_fid():
    assert STAND_IN.metric == "feature_distance"
    assert load_extractor(None).recipe is STAND_IN


@pytest.mark.parametrize("size", [(8, 8), (32, 32), (128, 128), (17, 40)])
def test_the_stand_in_takes_any_size_and_is_always_the_same(size):
    x = torch.randint(0, 256, (3, 3, *size), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    found = load_extractor(None)(x)
    torch.manual_seed(5)
    state = torch.get_rng_state()
    assert torch.equal(load_extractor(None)(x), found)
    assert torch.equal(torch.get_rng_state(), state)  # training's random numbers are left alone
    assert found.shape == (3, STAND_IN.features) and bool(found.isfinite().all())


def test_images_of_another_kind_are_refused():
    for wrong in (images().float(), images()[0], images(channels=2)):
        with pytest.raises(ValueError, match=r"images must be uint8 \[N, 1 or 3, H, W\]"):
            load_extractor(None)(wrong)
