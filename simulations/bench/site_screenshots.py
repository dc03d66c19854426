"""Pictures of a site's dashboard for docs/images, in a headless browser: `take(folder)` writes them."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final  # the browser's library is installed for development only

from client.dashboard.routes import site_app
from client.site_folder import SiteFolder
from common.loopback import LOOPBACK
from common.web.hosts import hosts_of
from common.web.running import listen, serving
from simulations.bench.browser import browsing
from simulations.bench.example_site import make_site

WIDE: Final = {"width": 1200, "height": 900}
PHONE: Final = {"width": 390, "height": 844}
_PATIENCE_MS: Final = 60_000
PICTURES: Final = {
    "site-dashboard-overview": ("/", WIDE, "light"),
    "site-dashboard-left": ("/left", WIDE, "light"),
    "site-dashboard-studies": ("/studies", WIDE, "light"),
    "site-dashboard-privacy": ("/privacy", WIDE, "light"),
    "site-dashboard-training": ("/training", WIDE, "dark"),
    "site-dashboard-data": ("/data", WIDE, "light"),
    "site-dashboard-phone": ("/left", PHONE, "light"),
}


def take(out: Path) -> list[Path]:
    """Make an example site, and write a picture of each of its pages into `out`. Raises UserError: no browser."""
    out.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory() as scratch:
        return take_of(make_site(Path(scratch)), out)


def take_of(place: SiteFolder, out: Path) -> list[Path]:
    """Write the pictures of this site."""
    app = site_app(place, hosts_of(LOOPBACK), None)
    with serving(app, listen(LOOPBACK, 0)) as url, browsing() as browser:
        return [_take(browser, url, name, out) for name in PICTURES]


def settle(page: Any) -> None:
    """Wait until the parts that take longer have come, and all charts are drawn."""
    page.locator("[data-late]:not([data-shown])").first.wait_for(state="detached", timeout=_PATIENCE_MS)
    for chart in page.locator(".chart").all():
        chart.scroll_into_view_if_needed()
        chart.locator(".main-svg").first.wait_for(timeout=_PATIENCE_MS)
    page.locator("h1").scroll_into_view_if_needed()


def _take(browser: Any, url: str, name: str, out: Path) -> Path:
    address, size, scheme = PICTURES[name]
    page = browser.new_page(viewport=size, color_scheme=scheme)
    page.goto(url + address)
    settle(page)
    path = out / f"{name}.png"
    page.screenshot(path=path, full_page=address == "/data")
    page.close()
    return path
