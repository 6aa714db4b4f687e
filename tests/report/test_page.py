import base64
import io
from html.parser import HTMLParser

import numpy as np
from PIL import Image

from ventralstream.report import page


class Checker(HTMLParser):
    """Collects what a page would fetch, and whether its elements are closed."""

    VOID = ("meta", "img")

    def __init__(self):
        super().__init__()
        self.open, self.fetched, self.tags = [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.fetched += [v for k, v in attrs if k in ("src", "href", "srcset") and not v.startswith("data:")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def checked(html):
    checker = Checker()
    checker.feed(html)
    assert checker.open == []
    return checker


def test_text_is_escaped():
    html = page.page("a < b", page.heading("x & y"), page.paragraph("<script>"), page.table(["<h>"], [["<d>"]]))
    assert "<title>a &lt; b</title>" in html
    assert "script" not in checked(html).tags
    assert "&lt;script&gt;" in html
    assert "&lt;d&gt;" in html


def test_images_are_inside_the_page():
    pixels = np.arange(12, dtype=np.uint8).reshape(3, 4) * 20
    html = page.page("t", page.image(pixels, "a picture", zoom=5))
    assert checked(html).fetched == []
    assert 'width="20" height="15"' in html
    data = html.split("base64,")[1].split('"')[0]
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(base64.b64decode(data)))), pixels)


def test_cells_may_have_something_small_below():
    html = page.table(["a", "b"], [["x", ("1.0", "0.9 to 1.1")]])
    assert "<td>x</td><td>1.0<small>0.9 to 1.1</small></td>" in html
