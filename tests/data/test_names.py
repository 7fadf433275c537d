"""What is said about a mistyped name."""

from pumpgan.data.names import suggestion


def test_the_nearest_name_is_suggested_and_nothing_where_none_is_near():
    assert suggestion("earing", ["ear", "earring", "hat"]) == "; did you mean 'earring'?"
    assert suggestion("qqq", ["ear", "earring", "hat"]) == "" == suggestion("ear", [])
