"""Seeds of everything a run draws: each purpose has a sequence of its own, and no two share a random stream."""

import hashlib

from pumpgan.train.config import MOST_SEED


def derived_seed(seed: int, purpose: str, number: int = 0) -> int:
    """A seed for torch, 63 bits of SHA-256 over the three. ValueError unless 0 <= seed < 2**32."""
    if not 0 <= seed <= MOST_SEED:
        raise ValueError(f"--seed: must be 0 to {MOST_SEED}, got {seed}")
    return int.from_bytes(hashlib.sha256(f"{seed} {purpose} {number}".encode()).digest()[:8], "little") >> 1
