"""Draws the README's moving picture of the explorer: python scripts/readme_picture.py [--out docs/images/explorer.png]

It is filmed in a real Chromium, from the live example "clutter" of the site; needs the extra `dev`, and chromium.
"""

from __future__ import annotations

import argparse
import io
import shutil
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "docs" / "_ext"))

from explorers import EXAMPLES  # noqa: E402

WIDTH, HEIGHT = 960, 700  # of the window, px
KEPT = "#images, .over, .hint, .speed { display: none !important } .story { min-height: 12.5rem }"
STEPS = 16
FRAME, LOOK = 350, 1600  # ms that a frame stays, and one at which something happens
EVENTS = (5, 6, 13, 15)  # the first answer, the changed one, the twin's loss, the end
SHOWN = 6  # where the picture does not move


def film(page: Page) -> list[Image.Image]:
    """A picture of the page at each step."""
    frames = []
    for step in range(STEPS):
        page.evaluate("(ms) => explorer.seek(ms)", 10 * step)
        page.wait_for_timeout(120)
        frames.append(Image.open(io.BytesIO(page.screenshot())).convert("RGB"))
    return frames


def main(arguments: list[str]) -> int:
    """Films the page; gives the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "images" / "explorer.png", help="the picture")
    given = parser.parse_args(arguments)
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        print("no chromium is installed (apt-get install chromium)", file=sys.stderr)
        return 2
    example = EXAMPLES["clutter"]
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        file = Path(folder) / "page.html"
        file.write_text(example.make(example.title).html, encoding="utf-8")
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, reduced_motion="reduce")
        page.goto(file.as_uri())
        page.wait_for_function("document.documentElement.dataset.ready === 'yes'")
        page.add_style_tag(content=KEPT)
        frames = film(page)
        browser.close()
    durations = [LOOK if step in EVENTS else FRAME for step in range(STEPS)]
    options = {"format": "PNG", "save_all": True, "default_image": True, "loop": 0}
    frames[SHOWN].save(given.out, append_images=frames, duration=durations, **options)
    print(f"{given.out}: {given.out.stat().st_size / 1e6:.2f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
