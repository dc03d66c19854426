"""A site's pages in a headless Chromium: numbers, news in place, a phone's width, and not one word in the console."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from client.dashboard.routes import PAGES, site_app
from client.ledger import open_ledger
from client.site_folder import SiteFolder
from common.web.hosts import hosts_of
from common.web.running import listen, serving
from simulations.bench.browser import browsing, installed
from simulations.bench.site_screenshots import PHONE, settle

pytestmark = [
    pytest.mark.processes,
    pytest.mark.skipif(installed() is None and not os.environ.get("CI"), reason="no Chromium is installed"),
]
Make = Callable[..., Any]
Note = Callable[..., None]
STUDY = "sha256:" + "5" * 64
WAIT_MS = 15_000


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with browsing() as found:
        yield found


@pytest.fixture
def folder(make_site: Make, note: Note) -> SiteFolder:
    """A site with an approved study, sixty lines in its journal, steps in its log, and a ledger."""
    site = make_site()
    site.approve()
    place: SiteFolder = site.folder
    for number in range(60):
        refused = number % 9 == 8
        what = (
            {"decision": "refused", "reason": "PAUSED", "size_bytes": 0} if refused else {"size_bytes": 1000 + number}
        )
        note(place, study=site.bundle.study.digest, round=number, policy=STUDY, **what)
    steps = ({"study": "quick", "run": "r", "round": n // 8, "step": n % 8 + 1, "loss": 1 / (n + 1)} for n in range(40))
    place.step_log.write_text("".join(json.dumps(step) + "\n" for step in steps))
    open_ledger(place).note_unprotected(site.bundle.study.digest, [f"p{n}" for n in range(12)])
    return place


@pytest.fixture
def url(folder: SiteFolder) -> Iterator[str]:
    with serving(site_app(folder, hosts_of("127.0.0.1"), None), listen("127.0.0.1", 0)) as found:
        yield found


@pytest.fixture
def said() -> list[str]:
    """What browsers said in their consoles: errors, and what the content policy forbade."""
    return []


@pytest.fixture
def show(browser: Any, url: str, said: list[str]) -> Iterator[Callable[..., Any]]:
    """`show("/left", viewport=...)`: that page, when all of it is there."""
    opened = []

    def one(path: str, **options: Any) -> Any:
        page = browser.new_page(**options)
        page.on("console", lambda message: said.append(f"{path}: {message.text}"))
        page.on("pageerror", lambda error: said.append(f"{path}: {error}"))
        page.goto(url + path)
        settle(page)
        opened.append(page)
        return page

    yield one
    for page in opened:
        page.close()


def lines_of(folder: SiteFolder) -> list[dict[str, Any]]:
    return [json.loads(line) for line in folder.journal.read_text().splitlines()][1:]


def test_every_page_fits_a_phone_and_the_console_says_nothing(show: Callable[..., Any], said: list[str]) -> None:
    for path, name in PAGES:
        page = show(path)
        assert page.locator("h1").inner_text() == name
        assert page.locator("nav [aria-current]").inner_text() == name
        page.wait_for_selector("#link:has-text('Live')", timeout=WAIT_MS)
        page.set_viewport_size(PHONE)
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"], path
    assert said == []


def test_the_numbers_are_the_journal_s_and_the_pages_lead_through_it(
    show: Callable[..., Any], folder: SiteFolder
) -> None:
    page, lines = show("/left"), lines_of(folder)[::-1]
    first = page.locator("#lines tbody tr").all_inner_texts()
    page.locator("a[rel=next]").click()
    second = page.locator("#lines tbody tr").all_inner_texts()
    assert (len(first), len(second)) == (50, 10)
    for text, line in zip([*first, *second], lines, strict=True):
        assert f"{line['size_bytes']:,}" in text
        assert line["decision"] in text
        assert line["time"][:19].replace("T", " ") in text
    total = page.locator("#totals tbody tr").inner_text()
    assert f"{sum(line['size_bytes'] for line in lines):,}" in total
    drawn = page.evaluate("document.querySelector('.chart').data[0].y")
    assert sum(drawn) == sum(line["size_bytes"] for line in lines)


def test_a_new_line_is_shown_in_place(
    show: Callable[..., Any], folder: SiteFolder, note: Note, said: list[str]
) -> None:
    page, first = show("/left"), show("/")
    page.evaluate("window.kept = 1")
    note(folder, size_bytes=987_654, run="a-new-run", study=STUDY)
    page.wait_for_selector("#lines td:has-text('987,654')", timeout=WAIT_MS)
    page.wait_for_selector("text=61 receipts, each signed", timeout=WAIT_MS)
    first.wait_for_selector(".cards dd:has-text('55')", timeout=WAIT_MS)
    assert page.evaluate("window.kept") == 1, "it was not loaded anew"
    assert page.evaluate("document.querySelector('.chart').data[0].y.at(-1)") > 987_654
    assert said == []


def test_a_folder_that_goes_is_said_and_one_that_comes_back_shown(
    show: Callable[..., Any], folder: SiteFolder, said: list[str]
) -> None:
    page, away = show("/left"), folder.path.with_name("away")
    folder.path.rename(away)
    page.wait_for_selector("text=The site's folder is not there", timeout=WAIT_MS)
    away.rename(folder.path)
    page.wait_for_selector("#lines tbody tr", timeout=WAIT_MS)
    assert said == []


def test_it_goes_on_after_the_dashboard_was_started_again(
    browser: Any, folder: SiteFolder, note: Note, tmp_path: Path
) -> None:
    app = site_app(folder, hosts_of("127.0.0.1"), None)
    with listen("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        with serving(app, first) as url:
            page = browser.new_page()
            page.goto(f"{url}/left")
            page.wait_for_selector("#link:has-text('Live')", timeout=WAIT_MS)
        page.wait_for_selector("#link:has-text('No connection')", timeout=WAIT_MS)
    note(folder, size_bytes=987_654)
    with serving(site_app(folder, hosts_of("127.0.0.1"), None), listen("127.0.0.1", port)):
        page.wait_for_selector("#lines td:has-text('987,654')", timeout=WAIT_MS)
    page.close()
