"""The page: it is one file that fetches nothing, stays small, and takes any names."""

from __future__ import annotations

import base64
import gzip
import json
import re
from html.parser import HTMLParser

import pytest
import torch

import ventralstream as vs
from ventralstream.cli.explore import _is_small
from ventralstream.explore.page import MOST_BYTES, page, script
from ventralstream.explore.trace import trace
from ventralstream.models import open_model
from ventralstream.report.palette import DARK, LIGHT


def test_it_is_one_file_that_names_no_other(traces):
    text = page(traces[:1])
    assert not re.search(r"(src|href)=[\"'](?!#)|@import|url\((?!#)|https?://(?!www\.w3\.org)", text)
    HTMLParser().feed(text)


def test_its_data_are_the_traces(traces):
    text = page(traces, ["a", "b"])
    header = json.loads(re.search(r'id="header">(.*?)</script>', text, re.DOTALL)[1])
    block = gzip.decompress(base64.b64decode(re.search(r'id="block">(.*?)</script>', text, re.DOTALL)[1]))
    for one, made in zip(header["traces"], traces, strict=True):
        assert block[one["start"] : one["start"] + len(made.block)] == made.block
        assert {k: v for k, v in one.items() if k != "start"} == json.loads(json.dumps(made.header))


def test_its_colours_are_the_palette_s(traces):
    text = page(traces[:1])
    for name, colour in (*LIGHT.items(), *DARK.items()):
        assert f"--{name}: {colour};" in text
    style = text[text.index("<style>") : text.index("</style>")]
    ours = style[style.index("* { box-sizing") :] + script()
    assert not re.search(r"#[0-9a-f]{6}\b|rgb\(\d", ours), "a colour that is not from the palette"


def test_names_are_no_markup(net, images):
    evil = "</script><script>alert(1)</script>"
    made = trace(net, images[:1], name=evil, names=[evil], class_names=[f"{evil}{k}" for k in range(10)])
    assert page([made], [evil]).lower().count("<script>") == page([made], ["x"]).lower().count("<script>")
    assert "alert(1)</script>" not in page([made], [evil])


def test_a_large_network_on_many_steps_stays_below_the_limit():
    net = vs.create_model("rcnn_cifar:cifar10")
    with torch.no_grad():
        made = trace(net, torch.randn(6, 3, 32, 32), 30, most_bytes=1_500_000)  # noise is as large as maps can be
    assert 1_000_000 < len(made.block) <= 1_500_000
    assert len(page([made, made], ["a", "b"]).encode()) <= MOST_BYTES


def test_two_traces_of_other_images_are_refused(net, images, traces):
    other = trace(net, images[:2])
    with pytest.raises(vs.VentralError, match="the same images"):
        page([traces[0], other])
    with pytest.raises(vs.VentralError, match="one trace or two"):
        page([])


@pytest.mark.parametrize(("name", "small"), [("rgc_digits", True), ("rgc_shallow", False)])
def test_only_small_networks_run_on_one_thread_unasked(name, small):
    assert _is_small(open_model(name)) is small
