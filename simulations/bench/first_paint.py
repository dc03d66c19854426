"""How soon a browser shows the page of a long run: first contentful paint in headless Chromium, tables and all."""

from collections.abc import Mapping
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

from common.web.hosts import hosts_of
from common.web.running import listen, serving
from server.dashboard.folders import Source
from server.dashboard.live import Live
from server.dashboard.routes import dashboard_app
from simulations.bench.browser import browsing
from simulations.bench.long_run import write_run

if TYPE_CHECKING:
    from playwright.sync_api import Browser

ROUNDS: Final = 500
SITES: Final = 50
TIMES: Final = 5
_PAINT: Final = """new Promise((done) => new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) if (entry.name === "first-contentful-paint") done(entry.startTime);
}).observe({ type: "paint", buffered: true }))"""


def measure_first_paint(rounds: int = ROUNDS, sites: int = SITES) -> Mapping[str, float]:
    """Return seconds to the first paint, medians of five: of a server that has read nothing yet, and of one that has.

    Each is a page of its own in a browser that runs already; `events_mb` is what the first has to read.
    """
    with TemporaryDirectory() as scratch, browsing() as browser:
        folder = Path(scratch) / "long"
        write_run(folder, rounds=rounds, sites=sites)
        pairs = [_paints(browser, Source(folder, "simulated")) for _ in range(TIMES)]
        return {
            "dashboard_events_mb": (folder / "events.jsonl").stat().st_size / 1e6,
            "dashboard_first_paint_cold_s": median(cold for cold, _ in pairs) / 1000,
            "dashboard_first_paint_warm_s": median(warm for _, warm in pairs) / 1000,
        }


def _paints(browser: "Browser", source: Source) -> tuple[float, float]:
    """Return the milliseconds to the first paint of a fresh server, and again."""
    app = dashboard_app(Live(source), hosts_of("127.0.0.1"), None)
    with serving(app, listen("127.0.0.1", 0)) as url:
        address = f"{url}/runs/{source.path.name}"
        return _first_paint(browser, address), _first_paint(browser, address)


def _first_paint(browser: "Browser", address: str) -> float:
    page = browser.new_page()
    with page.expect_response(lambda answer: "metric=" in answer.url):  # what charts need: the server is free after it
        page.goto(address, wait_until="domcontentloaded")
    found = page.evaluate(_PAINT)
    page.close()
    return float(found)
