"""The `--device` option's meaning, shared by the commands that compute."""

import click


def chosen_device(device: str):
    """torch.device of auto, cpu or cuda; a usage error where a GPU is asked for and torch sees none."""
    import torch

    if device == "cuda" and not torch.cuda.is_available():
        raise click.UsageError("--device cuda: torch sees no GPU; `pumpgan doctor` tells more")
    cuda = device == "cuda" or (device == "auto" and torch.cuda.is_available())
    return torch.device("cuda" if cuda else "cpu")
