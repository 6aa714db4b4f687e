import os
import shutil
from pathlib import Path

import pytest
import torch

import ventralstream as vs
from ventralstream.explore.cuts import cut
from ventralstream.explore.trace import trace

SCREENSHOTS = "VENTRALSTREAM_SCREENSHOTS"


@pytest.fixture(scope="session")
def net():
    """A network with cells, feedback and a step for every connection; its weights are random, but not too quiet."""
    made = vs.create_model("rgc_digits", seed=0).eval()
    with torch.no_grad():
        for p in made.parameters():
            p.mul_(1.15)
    return made


@pytest.fixture(scope="session")
def images():
    return torch.randn(3, 1, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="session")
def digits():
    return [str(k) for k in range(10)]


@pytest.fixture(scope="session")
def traces(net, images, digits):
    """The network's trace, and its trace without feedback."""
    told = {"names": ["one", "two <b>", "three"], "truths": ["1", "", "3"], "class_names": digits}
    without = cut(net, ["feedback"])
    return trace(net, images, name="intact", **told), trace(without, images, name="without", **told)


@pytest.fixture(scope="session")
def browser():
    """A real Chromium."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        pytest.skip("no chromium is installed (apt-get install chromium)")
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture(scope="session")
def screenshots(tmp_path_factory):
    """Where screenshots are kept: in the folder that VENTRALSTREAM_SCREENSHOTS names, for people to look at."""
    named = os.environ.get(SCREENSHOTS)
    folder = Path(named) if named else tmp_path_factory.mktemp("screenshots")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture
def opened(browser):
    """Opens a page, ready; whatever its console or a script complains of fails the test."""
    contexts, complaints = [], []

    def open_page(address, width=1280, height=900, scheme="light", motion="reduce", **more):
        context = browser.new_context(
            viewport={"width": width, "height": height}, color_scheme=scheme, reduced_motion=motion, **more
        )
        contexts.append(context)
        context.set_default_timeout(120_000)  # a machine may be busy with other tests
        page = context.new_page()
        page.on("console", lambda m: complaints.append(m.text) if m.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda r: complaints.append(f"fetches {r.url}") if r.url.startswith("https:") else None)
        page.goto(address)
        page.wait_for_selector("html[data-ready]")
        page.wait_for_timeout(60)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []
