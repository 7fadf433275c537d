"""Splits keep photographs whole: test by name, validation by seed."""

import pytest

from pumpgan.data.dataset import Entry
from pumpgan.data.splits import rarest_kinds, split_groups, validation_split


def test_the_first_quarter_of_each_kind_by_hash_is_test():
    kinds = {
        f"{kind}_{i}": kind for kind, n in (("good", 100), ("crack", 10), ("dent", 2), ("rust", 1)) for i in range(n)
    }
    splits = split_groups(kinds)
    tests = {
        kind: sum(splits[g] == "test" for g in kinds if kinds[g] == kind) for kind in ("good", "crack", "dent", "rust")
    }
    assert tests == {"good": 25, "crack": 2, "dent": 1, "rust": 0}


def test_the_split_depends_on_the_names_alone():
    names = [f"part_{i}" for i in range(40)]
    assert split_groups({n: "x" for n in names}) == split_groups({n: "x" for n in reversed(names)})
    # The two smallest of SHA-256("a") ca97..., ("b") 3e23..., ("c") 2e7d..., ("d") 18ac..., computed by sha256sum.
    assert [g for g, s in split_groups(dict.fromkeys("abcd", "x")).items() if s == "test"] == ["d"]


def test_a_group_of_several_kinds_counts_as_the_rarest():
    pairs = [("tile", "good"), ("tile", "crack"), ("other", "good"), ("third", "good")]
    assert rarest_kinds(pairs) == {"tile": "crack", "other": "good", "third": "good"}


def patches(photographs, kind="good"):
    return [Entry(f"{p}_{i}", "train", (p,), group=f"part_{p[:1]}", kind=kind) for p in photographs for i in range(3)]


def test_validation_takes_whole_groups_of_each_kind():
    entries = patches([f"{c}{i}" for c in "abcdefghij" for i in (1, 2)]) + patches([f"{c}1" for c in "klmno"], "crack")
    training, validation = validation_split(entries, seed=0)
    assert sorted([*training, *validation]) == list(range(len(entries)))
    groups = [{entries[i].group for i in part} for part in (training, validation)]
    assert not groups[0] & groups[1] and len(groups[1]) == 3  # 2 of 10 and 1 of 5
    assert {entries[i].kind for i in validation} == {"good", "crack"}
    assert validation_split(entries, seed=0) == (training, validation) != validation_split(entries, seed=1)


def test_what_shows_a_validation_photograph_is_not_trained_on():
    entries = patches(["a1", "b1", "c1", "d1", "e1"])
    pasted = [
        Entry(f"p{d}{g}", "train", (d, g), donor=d, destination=g) for d in ("a1", "b1") for g in ("c1", "d1", "e1")
    ]
    drawn = [Entry("fake", "train")]
    training, validation = validation_split([*entries, *pasted, *drawn], seed=3)
    held_out = {p for i in validation for p in entries[i].photographs}
    everything = [*entries, *pasted, *drawn]
    assert all(not held_out & set(everything[i].photographs) for i in training)
    assert all(everything[i].donor is None for i in validation) and len(everything) - 1 in training
    assert any(i >= len(entries) for i in training)


def test_too_few_photographs_cannot_be_split():
    with pytest.raises(ValueError, match="at least two photographs"):
        validation_split(patches(["a1"]), seed=0)
    with pytest.raises(ValueError, match="share"):
        validation_split(patches(["a1", "b1"]), seed=0, share=1.0)
