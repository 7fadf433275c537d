"""Progress bars of work in several parts, on standard error and gone when it is done."""

from contextlib import contextmanager


@contextmanager
def progress():
    """Yields a function of (what, how many more, of how many); each `what` gets a bar of its own."""
    from tqdm import tqdm

    bars = {}

    def advance(what: str, images: int, total: int) -> None:
        if what not in bars:
            bars[what] = tqdm(total=total, desc=what, unit="image", dynamic_ncols=True, delay=1, leave=False)
        bars[what].update(images)

    try:
        yield advance
    finally:
        for bar in bars.values():
            bar.close()
