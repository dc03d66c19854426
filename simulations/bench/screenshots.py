"""`make screenshots`: the pictures of the docs, of a real simulated run in headless Chromium.

`python -m simulations.bench.screenshots [FOLDER]`; the folder is docs/images if none is given.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final, Literal

from common.web.hosts import hosts_of
from common.web.running import listen, serving
from server.dashboard.folders import Source
from server.dashboard.live import Live
from server.dashboard.routes import dashboard_app
from simulations.bench import site_screenshots
from simulations.bench.browser import browsing
from simulations.run import run

if TYPE_CHECKING:
    from playwright.sync_api import Browser

FOLDER: Final = Path("docs/images")
STUDY: Final = "quick"
ROUNDS: Final = 8
_DRAWN_MS: Final = 60_000


@dataclass(frozen=True)
class Shot:
    """One picture: its name, the window's size and colours, what of the page is at its top, and the charts in it."""

    name: str
    width: int
    height: int
    scheme: Literal["light", "dark"]
    top: str = "body"
    charts: tuple[str, ...] = ()


SHOTS: Final = (
    Shot("dashboard-light", 1200, 1000, "light", charts=("scores", "loss")),
    Shot("dashboard-charts-light", 1200, 1000, "light", "h2:has-text('Participation')", ("participation", "norm")),
    Shot("dashboard-phone-dark", 390, 844, "dark"),
)


def main(arguments: list[str]) -> int:
    """Play a run, take the pictures, and say where they are."""
    folder = Path(arguments[0]) if arguments else FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory() as scratch:
        played = Path(scratch) / STUDY
        run(STUDY, out=played, rounds=ROUNDS)
        for path in take_shots(played, folder):
            _say(path)
    for path in site_screenshots.take(folder):
        _say(path)
    return 0


def _say(path: Path) -> None:
    sys.stdout.write(f"{path} {path.stat().st_size / 1000:.0f} kB\n")


def take_shots(played: Path, folder: Path) -> Iterator[Path]:
    """Write the pictures of a run's page to `folder`, one file for each shot."""
    app = dashboard_app(Live(Source(played, "simulated")), hosts_of("127.0.0.1"), None)
    with serving(app, listen("127.0.0.1", 0)) as url, browsing() as browser:
        for shot in SHOTS:
            yield _take(browser, shot, f"{url}/runs/{played.name}", folder / f"{shot.name}.png")


def _take(browser: "Browser", shot: Shot, address: str, path: Path) -> Path:
    page = browser.new_page(viewport={"width": shot.width, "height": shot.height}, color_scheme=shot.scheme)
    page.set_default_timeout(_DRAWN_MS)
    page.goto(address)
    page.wait_for_selector("#link:has-text('Live')")
    page.locator(shot.top).evaluate("(place) => place.scrollIntoView()")
    for chart in shot.charts:
        page.wait_for_selector(f"#chart-{chart} .main-svg")
    page.screenshot(path=path)
    page.close()
    return path


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
