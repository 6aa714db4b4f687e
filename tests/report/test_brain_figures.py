"""What a reader of the brain figures relies on: nothing is cut off, and each curve is named."""

import numpy as np

from ventralstream.report.courses import Course, courses

LOW = Course("masked", [25, 50], [0.2, 0.3], [0.1, 0.2], [0.3, 0.4])
HIGH = Course("no mask", [70, 95], [0.8, 0.5], [0.7, 0.4], [0.95, 0.6])


def drawn(series, panels):
    figure = courses(series, y_label="share of right answers", chance=0.2, title="first", panels=panels)
    figure.canvas.draw()
    return figure.axes


def test_the_shared_axis_holds_the_bands_of_all_panels():
    for axes in drawn([LOW], {"second": [HIGH]}):
        low, high = axes.get_ylim()
        assert low == 0 and high >= 0.95


def test_the_name_of_a_line_does_not_touch_it():
    for axes in drawn([LOW], {}):
        (label,) = (t for t in axes.texts if t.get_text() == "chance")
        line = axes.transData.transform((0, 0.2))[1]
        assert label.get_window_extent().y1 < line - 2


def test_curves_of_the_same_names_are_explained_once():
    first, second = drawn([HIGH, LOW], {"second": [HIGH, LOW]})
    assert [t.get_text() for t in first.get_legend().get_texts()] == ["no mask", "masked"]
    assert second.get_legend() is None
    colours = [
        [line.get_color() for line in a.lines if len(np.atleast_1d(line.get_xdata())) == 2] for a in (first, second)
    ]
    assert colours[0] == colours[1]
    first, second = drawn([HIGH, LOW], {"second": [LOW, HIGH]})
    assert first.get_legend() is not None and second.get_legend() is not None
