import pytest

from ventralstream.report.svg import Scale, element, text, ticks


def test_element_escapes_and_rounds():
    assert element("line", {"x1": 1.23456, "x2": 2.0}) == '<line x1="1.23" x2="2"/>'
    assert element("g", {"aria-label": 'a "b" <c>'}, "inside") == (
        '<g aria-label="a &quot;b&quot; &lt;c&gt;">inside</g>'
    )
    assert ">a &amp; b</text>" in text(0, 0, "a & b")


@pytest.mark.parametrize(
    ("low", "high", "most", "expected"),
    [
        (0, 100, 6, [0, 20, 40, 60, 80, 100]),
        (70, 95, 5, [70, 80, 90]),
        (-3.1, 3.1, 5, [-2, 0, 2]),
        (0.0, 0.05, 6, [0, 0.01, 0.02, 0.03, 0.04, 0.05]),
    ],
)
def test_ticks_are_round_and_inside(low, high, most, expected):
    assert ticks(low, high, most) == expected


def test_scale_maps_ends_to_ends_either_way_round():
    down = Scale(0, 10, 200, 100)
    assert (down(0), down(5), down(10)) == (200, 150, 100)
