"""The page in a real browser: it works by hand and by keyboard, and its numbers are the network's."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

import ventralstream as vs
from ventralstream.explore.cuts import cut
from ventralstream.explore.page import page as make_page

AXE = "VENTRALSTREAM_AXE"  # names axe.min.js of the package axe-core, which is not ours to carry


@pytest.fixture(scope="module")
def pages(traces, tmp_path_factory):
    folder = tmp_path_factory.mktemp("pages")
    (folder / "one.html").write_text(make_page(traces[:1]), encoding="utf-8")
    (folder / "two.html").write_text(make_page(traces, ["intact", "without feedback"]), encoding="utf-8")
    return {name: (folder / f"{name}.html").as_uri() for name in ("one", "two")}


@pytest.fixture(scope="module")
def outputs(net, images):
    """What the networks do, by plain runs."""
    record = vs.Record([a.name for a in net.spec.areas])
    with torch.no_grad():
        return [n(images, readout=vs.PerStep(start=0), record=record) for n in (net, cut(net, ["feedback"]))]


def number(text):
    return float(text.replace("\N{MINUS SIGN}", "-").replace("\xa0", "").rstrip("%"))


def agrees(shown, true, digits=3):
    """Whether a number that is shown is the true one, to the precision that is shown."""
    return shown == pytest.approx(true, rel=0.6 * 10 ** (1 - digits), abs=1e-9)


@pytest.mark.parametrize(("image", "step"), [(0, 15), (1, 9)])
def test_every_number_is_the_network_s(opened, pages, outputs, net, image, step):
    shown = opened(f"{pages['two']}#image={image}&ms={step * 10}&area=conv3")
    p = outputs[0].logits.softmax(-1)[image, step]
    bars = shown.locator("#bars li").all()
    assert len(bars) == 5
    for bar, k in zip(bars, p.argsort(descending=True)[:5].tolist(), strict=True):
        assert bar.get_attribute("data-class") == str(k) or p[k] < 5e-4
        assert number(bar.locator("[data-number]").inner_text()) == pytest.approx(100 * float(p[k]), abs=0.0501)
    headline = shown.locator("#headline").inner_text()
    assert f"“{int(p.argmax())}”, {100 * float(p.max()):.1f}" in headline
    for area in net.spec.areas:
        values = outputs[0][area.name].values[image, step].float()
        before = outputs[0][area.name].values[image, step - 1].float()
        moved = float((values - before).norm() / max(values.norm(), before.norm(), 1e-30))
        row = shown.locator(f'#numbers [data-area="{area.name}"]')
        assert agrees(number(row.nth(0).inner_text()), float(values.mean()))
        assert number(row.nth(1).inner_text()) == pytest.approx(100 * moved, abs=0.06)
        both = shown.locator(f'#activity [data-area="{area.name}"]').inner_text().split("\n")
        other = outputs[1][area.name].values[image, step].float().mean()
        assert agrees(number(both[0]), float(values.mean())) and agrees(number(both[1]), float(other))
    second = outputs[1].logits.softmax(-1)[image, step]
    told = shown.locator("#story li", has_text="without feedback:").inner_text()
    assert f"“{int(second.argmax())}”, {100 * float(second.max()):.1f}" in told
    facts = shown.locator("#facts").inner_text()
    assert f"{vs.count_parameters(net.spec):,}" in facts


def test_pixels_of_maps_are_the_network_s(opened, pages, outputs):
    shown = opened(f"{pages['one']}#image=1&ms=90&area=conv3")
    values = outputs[0]["conv3"].values[1, 9]
    found = shown.evaluate(
        """() => { const t = explorer.trace, a = t.byName.get("conv3");
        return a.maps.kept.map((c, k) => { const m = t.map(a, 1, 9, k);
          return [c, Array.from(m.levels, (v) => m.low + v / 255 * (m.high - m.low)), m.high - m.low]; }); }"""
    )
    for channel, shown_values, span in found:
        true = values[channel].flatten()
        assert (torch.tensor(shown_values) - true).abs().max() <= 0.53 * span / 255 + 2e-3 * true.abs().max() + 1e-5


def test_it_steps_by_keys_and_buttons(opened, pages):
    shown = opened(f"{pages['two']}#ms=30")
    now = shown.locator("#now")

    def press(key):
        shown.keyboard.press(key)
        shown.wait_for_timeout(60)
        return now.inner_text().replace("\xa0", " ")

    assert press("ArrowRight") == "40 ms"
    assert press("ArrowLeft") == "30 ms"
    assert press("End") == "150 ms"
    assert press("ArrowRight") == "150 ms"
    assert press("Home") == "0 ms"
    shown.get_by_role("button", name="One step on").click()
    shown.wait_for_timeout(60)
    assert now.inner_text() == "10\xa0ms"
    press(".")
    assert shown.locator('#images [aria-checked="true"]').inner_text() == "two <b>"
    press("]")
    area = shown.locator('#areas [aria-checked="true"]').inner_text()
    assert shown.locator("#maps-title").inner_text() == f"Feature maps of {area}"
    press("c")
    assert shown.locator('#views [aria-checked="true"]').inner_text() == "without feedback"
    assert "#image=1&ms=10" in shown.url and "view=1" in shown.url


def test_it_changes_image_area_and_view_by_hand(opened, pages):
    shown = opened(f"{pages['two']}#ms=120&area=conv3")
    pictures = "() => ['maps', 'raster'].map((id) => document.getElementById(id).toDataURL())"
    seen = [shown.evaluate(pictures)]
    for group, name in (
        ("Image", "three"),
        ("Area", "conv4"),
        ("Which network", "difference"),
        ("Which network", "without"),
    ):
        shown.get_by_role("radiogroup", name=group).get_by_role("radio", name=name).first.click()
        shown.wait_for_timeout(80)
        seen.append(shown.evaluate(pictures))
    assert len({tuple(s) for s in seen}) == len(seen)
    shown.get_by_role("button", name="conv2").first.click()
    assert shown.locator("#maps-title").inner_text() == "Feature maps of conv2"
    shown.get_by_role("radio", name="change from the step before").click()
    shown.locator("#sort").select_option("channel")
    assert "channel number" in shown.locator("#maps").get_attribute("aria-label")
    shown.locator("#film canvas").nth(2).click(position={"x": 5, "y": 5})
    shown.wait_for_timeout(80)
    assert shown.locator("#now").inner_text() == "0\xa0ms"


def test_it_plays_and_pauses(opened, pages):
    shown = opened(pages["one"] + "#ms=0", motion="no-preference")
    shown.get_by_role("button", name="Play").click()
    shown.wait_for_function("explorer.step >= 2")
    assert shown.locator(".pulse.on").count() >= 1
    shown.get_by_role("button", name="Pause").click()
    stopped = shown.evaluate("explorer.now")
    shown.wait_for_timeout(200)
    assert shown.evaluate("explorer.now") == stopped
    assert shown.locator(".pulse.on").count() == 0


def test_reduced_motion_shows_no_moving_dots_and_starts_still(opened, pages):
    shown = opened(pages["one"])
    assert not shown.evaluate("explorer.playing")
    shown.get_by_role("button", name="Play").click()
    shown.wait_for_function("explorer.step >= 1")
    assert shown.locator(".pulse.on").count() == 0


@pytest.mark.parametrize("width", [1280, 768, 390])
def test_it_fits_every_screen(opened, pages, screenshots, width):
    height = 844 if width == 390 else 900
    shown = opened(f"{pages['two']}#ms=90&area=conv3", width, height)
    assert shown.evaluate("document.documentElement.scrollWidth") <= width
    outside = shown.evaluate(
        """() => [...document.querySelectorAll("main *, header *")]
          .filter((e) => !e.closest(".scroll, .images, svg, [hidden], .unseen, .skip"))
          .map((e) => [e.id || e.className, e.getBoundingClientRect()])
          .filter(([, box]) => box.width && (box.left < -1 || box.right > innerWidth + 1))
          .map(([name]) => name)"""
    )
    assert outside == []
    pictures = []
    for scheme in ("light", "dark"):
        shown.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        shown.wait_for_timeout(120)
        shown.screenshot(path=screenshots / f"explorer-{width}-{scheme}.png", full_page=True)
        pictures.append(shown.evaluate("document.getElementById('maps').toDataURL()"))
    assert pictures[0] != pictures[1]  # maps are drawn anew in the colours of the scheme


def test_on_a_phone_the_unrolled_network_follows_the_cursor(opened, pages):
    shown = opened(pages["one"] + "#ms=0", 390, 844)
    for key in ("End", "Home"):
        shown.keyboard.press(key)
        shown.wait_for_timeout(80)
        column, view, name = shown.evaluate(
            """() => ["#film .column", "#film", "#film .name"].map((s) => document.querySelector(s))
              .map((e) => (e.id === "film" ? e.parentElement : e).getBoundingClientRect())
              .map((box) => [box.left, box.right])"""
        )
        assert column[0] >= name[1] - 1 and column[1] <= view[1] + 1


def test_it_is_quick(opened, pages, record_property):
    """First paint below a second; how many pictures a second it plays is said, not asserted tightly."""
    shown = opened(pages["two"] + "#ms=0", motion="no-preference")
    paint = shown.evaluate("performance.getEntriesByName('first-contentful-paint')[0]?.startTime")
    frames = shown.evaluate(
        """() => new Promise((done) => {
          document.getElementById("speed").value = 120;
          explorer.transport.play();
          const from = performance.now();
          let count = 0;
          const tick = () => {
            const passed = performance.now() - from;
            count += 1;
            passed < 1500 ? requestAnimationFrame(tick) : done((1000 * count) / passed);
          };
          tick();
        })"""
    )
    record_property("first_paint_ms", paint)
    record_property("frames_per_second", frames)
    print(f"first paint after {paint:.0f} ms, {frames:.0f} frames a second")
    assert paint < 10_000 and frames > 3


def test_axe_finds_no_serious_violation(opened, pages):
    path = Path(os.environ.get(AXE, ""))
    if not path.is_file():
        pytest.skip(f"{AXE} does not name axe-core's axe.min.js (npm pack axe-core)")
    for scheme in ("light", "dark"):
        shown = opened(f"{pages['two']}#ms=90", scheme=scheme)
        shown.evaluate(path.read_text(encoding="utf-8"))
        found = shown.evaluate("axe.run().then((r) => r.violations)")
        serious = [v for v in found if v["impact"] in ("serious", "critical")]
        assert [(v["id"], [n["html"][:120] for n in v["nodes"]][:3]) for v in serious] == []
