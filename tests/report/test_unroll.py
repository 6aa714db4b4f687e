from collections import Counter
from xml.etree import ElementTree

from ventralstream.cells import Decay
from ventralstream.models import build
from ventralstream.models.convrnn import everywhere
from ventralstream.models.convrnn_cifar import shallow_small
from ventralstream.program import Request
from ventralstream.report.unroll import unroll
from ventralstream.spec import Connection


def drawn(spec):
    outputs = frozenset({("decoder", spec.steps - 1)})
    fates = build(spec, 0).plan(Request(0, spec.steps, spec.presentation, outputs)).fates
    return fates, ElementTree.fromstring(unroll(spec, fates))


def classes(svg):
    return Counter(e.get("class") for e in svg.iter() if e.get("class"))


def small(**options):
    return shallow_small(everywhere(Decay()), 10, (4, 4, 4, 4, 4), (1, 32, 32), steps=8).replace(**options)


def test_every_area_and_step_is_drawn_as_what_became_of_it():
    spec = small()
    fates, svg = drawn(spec)
    found, wanted = classes(svg), Counter(fates.values())
    assert found["computed"] == wanted["computed"] > 0
    assert found["batch-free"] == wanted["batch-free"] > 0
    assert found["reused"] == wanted["reused"] > 0
    assert found["skipped"] == wanted["skipped"] + spec.steps  # and the image at each step
    said = ["".join(e.itertext()) for e in svg.iter() if e.tag.endswith("title")]
    assert "conv1, step 0: computed for each image" in said


def test_times_and_names_stand_beside_it():
    _, svg = drawn(small(dt_ms=20.0))
    words = [e.text for e in svg.iter() if e.tag.endswith("text")]
    assert {"conv1", "conv5", "decoder", "image", "0", "20", "140"} <= set(words)


def test_feedback_is_drawn_and_points_back():
    spec = small()
    back = spec.replace(connections=(*spec.connections, Connection("conv5", "conv3", kind="feedback")))
    assert classes(drawn(spec)[1])["wire back"] == 0
    assert classes(drawn(back)[1])["wire back"] > 0
