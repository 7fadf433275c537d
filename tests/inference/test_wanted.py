"""What can be asked of generated samples."""

from pathlib import Path

import pytest

from pumpgan.inference.wanted import Wanted


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (dict(realism=0.0), "--realism: must be a share over 0, got 0"),
        (dict(realism=1.5), "--realism: must be from 0 to 1, got 1.5"),
        (dict(novelty=-1.0), "--novelty: must be at least 0, got -1"),
        (dict(novelty=float("nan")), "--novelty: must be at least 0, got nan"),
        (dict(with_class="hole", min_fraction=2.0), "--min-fraction: must be from 0 to 1, got 2"),
        (dict(min_fraction=0.1), "--min-fraction: needs --with-class"),
        (dict(agreement=0.5), "--agreement: needs --segmenter"),
        (dict(segmenter=Path("run")), "--segmenter: needs --agreement"),
        (dict(data=(Path("d"),)), "--data: needs --novelty"),
        (dict(inception=Path("x")), "--inception: needs --novelty"),
    ],
)
def test_what_cannot_be_wanted_is_refused(options, said):
    with pytest.raises(ValueError, match=said):
        Wanted(**options)


def test_nothing_need_be_wanted_and_all_can_be():
    assert Wanted().with_class is None
    Wanted("hole", 0.0, 1.0, 0.0, Path("run"), 0.0, (Path("d"), Path("e")), Path("x"))
