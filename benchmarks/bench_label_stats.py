"""label_stats, and the distribution loss made of it, against their definitions in plain torch.

`x ours` is how many times as long a contender takes as pumpgan. `stats`: soft fractions and counts of every class.
`counts`: argmax and a histogram against the same call, which gives the fractions too. `loss`: gaussian_kl of the
fractions, with its gradient at the logits; its definition counts nothing. `copies` counts one copy of the logits as
one; at best it takes 0.5 to read them, and 1.0 more to read them again and write their gradient: 100 % of copy.

    python benchmarks/bench_label_stats.py --compile
"""

from functools import partial

import click
import torch
from racing import HEADER, compare, options, save

from pumpgan.ops import gaussian_kl, label_stats, reference
from pumpgan.train.allocator import keep_freed_memory

LOGITS = {  # B, C, side
    "cpu": [(16, 11, 32), (16, 11, 64), (8, 2, 128), (4, 11, 256)],
    "cuda": [(32, 8, 64), (32, 8, 128), (32, 8, 256)],
}
DTYPES = {"cpu": (torch.float32, torch.bfloat16), "cuda": (torch.float32, torch.bfloat16)}
TEMPERATURE = 0.1
LEAST = dict(least_copies=(0.5, 1.5))


def fractions(function, logits):
    return function(logits, temperature=TEMPERATURE)[0]


def counts(function, logits):
    return function(logits)[1].double()


def plain_counts(logits):
    winners = logits.argmax(dim=1).flatten(1)
    empty = torch.zeros(logits.shape[:2], dtype=torch.int64, device=logits.device)
    return empty.scatter_add_(1, winners, torch.ones_like(winners)).double()


def loss(mean, std, floor, logits):
    return gaussian_kl(fractions(label_stats, logits), mean, std, floor)


def plain_loss(mean, std, floor, logits):
    shares = (logits / TEMPERATURE).softmax(dim=1).mean(dim=(2, 3)).float()
    return reference.gaussian_kl(shares, mean, std, floor)


def same_bits(function, logits) -> bool:
    """Whether a second call gives the same value and gradient to the last bit."""
    values = [function(logits) for _ in range(2)]
    gradients = [torch.autograd.grad(value.sum(), logits)[0] for value in values]
    return torch.equal(*values) and torch.equal(*gradients)


@click.command()
@options
def main(device, rounds, compiled, against, path):
    keep_freed_memory()
    click.echo(HEADER)
    rows = []
    for b, c, side in LOGITS[device]:
        target = [torch.rand(c, device=device) + 0.1 for _ in range(3)]
        for channels_last in (False, True):
            for dtype in DTYPES[device]:
                logits = torch.randn(b, c, side, side, device=device, dtype=dtype)
                if channels_last:
                    logits = logits.to(memory_format=torch.channels_last)
                name = f"{b} {c} {side}px {'NHWC' if channels_last else 'NCHW'} {str(dtype).removeprefix('torch.')}"
                stats = {"pumpgan": label_stats, "torch": reference.label_stats, **against}
                contests = {
                    "stats": {key: partial(fractions, function) for key, function in stats.items()},
                    "loss": {"pumpgan": partial(loss, *target), "torch": partial(plain_loss, *target)},
                }
                for what, contenders in contests.items():
                    if compiled:
                        contenders["torch.compile"] = torch.compile(contenders["torch"])
                    found = compare(f"{what} {name}", contenders, [logits.requires_grad_()], device, rounds, **LEAST)
                    rows += [row | {"same_bits": same_bits(contenders[row["contender"]], logits)} for row in found]
                contenders = {"pumpgan": partial(counts, label_stats), "torch": plain_counts}
                rows += compare(
                    f"counts {name}", contenders, [logits.detach()], device, rounds, **LEAST, gradients=False
                )
    save(path, rows, device)


if __name__ == "__main__":
    main()
