"""torch.compile takes the networks' layers whole, and changes nothing but rounding."""

import pytest
import torch

from pumpgan.models.layers import EqualConv2d, StyledConv
from pumpgan.ops import implementation


@pytest.fixture(autouse=True)
def native():
    before = implementation.in_use()
    implementation.use("native")
    yield
    implementation.use(before)


def test_a_generator_block_compiles_into_one_graph_and_draws_the_same(device):
    torch.manual_seed(1)
    grow, act = StyledConv(6, 8, 5, up=2), EqualConv2d(8, 4, 1)
    block = torch.nn.ModuleList([grow, act]).to(device)
    with torch.no_grad():
        grow.noise_strength.fill_(0.3)

    def run(x, w, noise):
        return act(grow(x, w, noise))

    x = torch.randn(2, 6, 4, 4, device=device).to(memory_format=torch.channels_last).requires_grad_()
    w, noise = torch.randn(2, 5, device=device, requires_grad=True), torch.randn(2, 1, 8, 8, device=device)
    leaves = [x, w, *block.parameters()]
    expected, y = run(x, w, noise), torch.compile(run, fullgraph=True)(x, w, noise)
    torch.testing.assert_close(y, expected, rtol=1e-5, atol=1e-5)
    seed = torch.randn_like(expected)
    for actual, wanted in zip(
        torch.autograd.grad(y, leaves, seed), torch.autograd.grad(expected, leaves, seed), strict=True
    ):
        torch.testing.assert_close(actual, wanted, rtol=1e-4, atol=1e-4)
