import re
from xml.etree import ElementTree

import numpy as np
import pytest

from ventralstream.errors import VentralError
from ventralstream.report import figures
from ventralstream.report.figures import Curve, Difference

DIGITS = tuple("0123456789")


def parse(svg):
    return ElementTree.fromstring(svg)  # raises if it is not well-formed


def with_class(svg, name):
    return [e for e in parse(svg).iter() if name in e.get("class", "").split()]


def texts(svg):
    return ["".join(e.itertext()) for e in parse(svg).iter() if e.tag.endswith("text")]


def test_curves_put_values_where_they_belong():
    curve = Curve("recurrent", 1, [50, 60, 70], [0.7, 0.8, 0.75], [0.6, 0.7, 0.65], [0.8, 0.9, 0.85])
    svg = figures.curves([curve], (50, 70), (0.5, 1.0))
    dots = with_class(svg, "dot")
    heights = [float(d.get("cy")) for d in dots]
    assert len(dots) == 3
    assert heights[1] < heights[2] < heights[0]  # the higher the value, the further up
    assert len(with_class(svg, "band")) == 1
    assert not with_class(svg, "dash")
    assert {"50", "60", "70", "time since image onset (ms)", "correct answers (%)"} <= set(texts(svg))


def test_a_single_time_gets_a_whisker_and_holds_its_value():
    svg = figures.curves([Curve("feedforward", 3, [50], [0.7], [0.6], [0.8], holds=True)], (50, 110), (0.5, 1.0))
    assert len(with_class(svg, "whisker")) == 1
    (held,) = with_class(svg, "dash")
    assert held.get("y1") == held.get("y2")
    assert not with_class(svg, "band")


def test_panels_share_their_scale():
    spans = figures.panels_span([[0.97, 0.99], [0.72, 0.84], [0.61, 0.64]])
    assert len({round(high - low, 9) for low, high in spans}) == 1
    for (low, high), values in zip(spans, ([0.97, 0.99], [0.72, 0.84], [0.61, 0.64]), strict=True):
        assert low <= min(values) + 1e-9
        assert high >= max(values) - 1e-9
        assert high <= 1 + 1e-9


def test_differences_lie_on_their_side_of_zero():
    rows = [Difference("all scenes", 0.02, 0.01, 0.03, strong=True), Difference("clutter 0", -0.01, -0.04, 0.02)]
    svg = figures.differences(rows, 0.05, 1, ("worse", "better"))
    zero = float(with_class(svg, "zero")[0].get("x1"))
    first, second = (float(d.get("cx")) for d in with_class(svg, "dot"))
    assert second < zero < first
    assert "+2.0" in texts(svg)
    assert "\N{MINUS SIGN}1.0" in texts(svg)


def test_probabilities_show_each_steps_answer():
    p = np.full((3, 10), 0.01)
    p[0, 7] = p[1, 7] = p[2, 4] = 0.9
    svg = figures.probabilities([50, 60, 70], p, truth=4, classes=DIGITS)
    assert [e.tag.split("}")[1] for e in with_class(svg, "answer-wrong")] == ["rect", "rect"]
    assert len(with_class(svg, "answer-right")) == 1
    assert [t.text for t in with_class(svg, "on-wrong")] == ["7", "7"]
    assert [t.text for t in parse(svg).iter() if t.get("class") == "rival" and t.text] == ["7"]
    assert len(with_class(svg, "other")) == 8


def test_confusion_writes_percent_of_each_row():
    counts = np.zeros((10, 10))
    counts[np.diag_indices(10)] = 95
    counts[3, 8] = 5
    svg = figures.confusion(counts, DIGITS, darkest=0.05)
    numbers = [t.text for t in with_class(svg, "number")]
    assert sorted(numbers) == sorted(["100"] * 9 + ["95", "5"])
    assert len(with_class(svg, "error")) == 1


@pytest.mark.parametrize(
    "draw",
    [
        lambda: figures.confusion(np.zeros((9, 10)), DIGITS, 0.1),
        lambda: figures.probabilities([50, 60], np.zeros((3, 10)), 0, DIGITS),
    ],
)
def test_arrays_of_a_wrong_shape_are_refused(draw):
    with pytest.raises(VentralError, match="shape"):
        draw()


def test_figures_say_in_words_what_they_show():
    svg = figures.confusion(np.eye(10), DIGITS, 0.1)
    assert parse(svg).get("aria-label") == "Confusion matrix; 100.0 % right."
    assert re.search(r'role="img"', svg)
