"""Where pumpgan keeps what it can make again."""

import os
from pathlib import Path


def user_cache() -> Path:
    """$PUMPGAN_CACHE, by default pumpgan in the user's cache folder."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("PUMPGAN_CACHE") or Path(base) / "pumpgan")
