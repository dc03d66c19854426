"""The dashboard in headless Chromium, beside a real simulated run: what people see is what `results.json` has."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from common.web.hosts import hosts_of
from common.web.running import listen, serving
from common.web.token import Token
from server.dashboard.folders import Source
from server.dashboard.live import Live
from server.dashboard.routes import dashboard_app
from server.report.formats import interval, plain, size
from server.report.rounds import total_bytes
from server.report.values import estimate
from server.run_folder import RunFolder, RunState
from simulations.bench.browser import browsing, installed

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = [
    pytest.mark.processes,
    pytest.mark.skipif(installed() is None and not os.environ.get("CI"), reason="no Chromium is installed"),
]
PATIENCE_MS = 60_000
EXPECTED = ("ERR_CONNECTION_REFUSED", "ERR_INCOMPLETE", "status of 401", "status of 409")
"""What a browser says of a server that was stopped, or that refused, in the tests that do just that."""
TOKEN = Token("the-token")
SIMULATE = "from common.command import main; raise SystemExit(main())"
ROUNDS = 20
TOP = "[data-part=top]"
LIVE = "#link:has-text('Live')"
ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def browser() -> "Iterator[Browser]":
    with browsing() as found:
        yield found


@pytest.fixture
def page(browser: "Browser") -> "Iterator[Page]":
    """A page that must not complain: of scripts, of the content policy, of a file that is missing."""
    context = browser.new_context(viewport={"width": 1200, "height": 900})
    opened = context.new_page()
    opened.set_default_timeout(PATIENCE_MS)
    said: list[str] = []
    opened.on("console", lambda line: said.append(line.text) if line.type in ("error", "warning") else None)
    opened.on("pageerror", lambda error: said.append(str(error)))
    yield opened
    context.close()
    assert [line for line in said if not any(word in line for word in EXPECTED)] == []


@contextmanager
def dashboard(path: Path, kind: Any = "simulated", port: int = 0) -> Iterator[str]:
    app = dashboard_app(Live(Source(path, kind)), hosts_of("127.0.0.1"), TOKEN)
    with serving(app, listen("127.0.0.1", port)) as url:
        yield url


def simulate(*arguments: str) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-c", SIMULATE, "simulate", "quick", *arguments]
    return subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"}, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )


def not_round(number: int) -> str:
    return f":not([data-round='{number}'])"


@pytest.fixture(scope="module")
def played(browser: "Browser", tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[int]]:
    """A real run, and the complete rounds that a page which was opened before its first one has shown."""
    runs = tmp_path_factory.mktemp("runs")
    shown: list[int] = []
    with dashboard(runs) as url:
        opened = browser.new_page()
        opened.set_default_timeout(PATIENCE_MS)
        opened.goto(url)
        run = simulate("--rounds", str(ROUNDS), "--no-comparison", "--out", str(runs / "quick"))
        opened.get_by_role("link", name="quick").click()
        while not shown or shown[-1] < ROUNDS:
            opened.wait_for_selector(f"{TOP}:not([data-round='0']){''.join(map(not_round, shown))}")
            shown.append(int(opened.locator(TOP).get_attribute("data-round") or 0))
        said = run.communicate(timeout=120)[1]
        assert run.returncode == 0, said.decode()
        opened.wait_for_selector(f"{TOP}:has-text('finished')")
        opened.close()
    return runs, shown


def rows_of(page: "Page", table: str) -> dict[str, list[str]]:
    rows = page.locator(f"#{table} tbody tr").all()
    return {row.locator("th").inner_text(): row.locator("td").all_inner_texts() for row in rows}


def shown(metric: Any) -> str:
    found = estimate(metric)
    return "\n".join(text for text in (plain(found.value), interval(found)) if text)


def test_a_page_that_is_open_follows_the_run(played: tuple[Path, list[int]]) -> None:
    assert played[1][-1] == ROUNDS
    assert len(played[1]) > 1, "the page had no round less than the last: nothing was followed"


def test_the_numbers_are_those_of_the_results(page: "Page", played: tuple[Path, list[int]]) -> None:
    results = json.loads((played[0] / "quick" / "results.json").read_bytes())
    last = results["rounds"][-1]
    with dashboard(played[0]) as url:
        page.goto(f"{url}/runs/quick")
        page.wait_for_selector("#chart-scores .main-svg")
        metrics, moved, updates = (rows_of(page, name) for name in ("metrics", "bytes", "updates"))
    scopes = {"All hospitals together": last["validation"]["pooled"], **last["validation"]["sites"]}
    assert set(metrics) == set(scopes)
    for scope, found in scopes.items():
        assert metrics[scope] == [str(found["auroc"]["n"]), *(shown(found[name]) for name in found)], scope
    assert moved["All hospitals together"][0] == size(total_bytes(results["rounds"], "bytes_up"))
    for site, norm in last["diagnostics"]["update_norms"].items():
        assert updates[site][:2] == [plain(last["train"]["sites"][site]["loss"]), plain(norm)]


def test_the_charts_have_the_numbers_too(page: "Page", played: tuple[Path, list[int]]) -> None:
    results = json.loads((played[0] / "quick" / "results.json").read_bytes())
    scored = [results["initial"]["validation"], *(each["validation"] for each in results["rounds"])]
    with dashboard(played[0]) as url:
        page.goto(f"{url}/runs/quick")
        page.wait_for_selector("#chart-scores .main-svg")
        for name, label in (("auroc", "AUROC"), ("log_loss", "Log loss")):
            page.select_option("#metric", name)
            page.wait_for_selector(f"#chart-scores .ytitle:has-text('{label}')")
            lines = page.evaluate("document.getElementById('chart-scores').data.map((t) => [t.name, t.y])")
            expected = [each["pooled"][name]["value"] for each in scored]
            assert dict(lines)["All together"] == pytest.approx(expected, rel=1e-5)


def test_it_reconnects_to_a_server_that_came_back(page: "Page", played: tuple[Path, list[int]], tmp_path: Path) -> None:
    shutil.copytree(played[0] / "quick", tmp_path / "quick", ignore=shutil.ignore_patterns("results.json"))
    events = tmp_path / "quick" / "events.jsonl"
    content = events.read_bytes()
    cut = content.index(b'"event": "round_finished"')
    events.write_bytes(content[: content.index(b"\n", cut) + 1])
    with dashboard(tmp_path) as url:
        page.goto(f"{url}/runs/quick")
        page.wait_for_selector(LIVE)
        assert page.locator(TOP).get_attribute("data-round") == "1"
        port = int(url.rpartition(":")[2])
    page.wait_for_selector("#link:has-text('No connection')")
    events.write_bytes(content)
    with dashboard(tmp_path, port=port):
        page.wait_for_selector(f"{TOP}[data-round='{ROUNDS}']")
        page.wait_for_selector(LIVE)


def test_a_folder_that_goes_is_said_in_one_line_until_it_is_back(
    page: "Page", played: tuple[Path, list[int]], tmp_path: Path
) -> None:
    shutil.copytree(played[0] / "quick", tmp_path / "runs" / "quick")
    with dashboard(tmp_path / "runs") as url:
        page.goto(f"{url}/runs/quick")
        page.wait_for_selector(LIVE)
        (tmp_path / "runs" / "quick").rename(tmp_path / "away")
        page.wait_for_selector("#gone:not([hidden])")
        assert "not there any more" in page.locator("#gone").inner_text()
        (tmp_path / "away").rename(tmp_path / "runs" / "quick")
        page.wait_for_selector("#gone", state="hidden")


def test_a_phone_reads_it_without_scrolling_aside_in_light_and_dark(
    page: "Page", played: tuple[Path, list[int]]
) -> None:
    page.set_viewport_size({"width": 360, "height": 740})
    grounds = []
    with dashboard(played[0]) as url:
        for path in ("/", "/runs/quick"):
            for scheme in ("light", "dark"):
                page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
                page.goto(url + path)
                assert page.evaluate("document.documentElement.scrollWidth") == 360, path
                grounds.append(page.evaluate("getComputedStyle(document.body).backgroundColor"))
        page.locator("#chart-scores").scroll_into_view_if_needed()
        page.wait_for_selector("#chart-scores .main-svg")
        assert page.evaluate("document.documentElement.scrollWidth") == 360
    assert grounds[:2] == grounds[2:]
    assert grounds[0] != grounds[1]


def test_every_table_has_a_caption_and_the_keyboard_reaches_it(page: "Page", played: tuple[Path, list[int]]) -> None:
    with dashboard(played[0]) as url:
        page.goto(f"{url}/runs/quick")
        bare = "[...document.querySelectorAll('table')].filter((t) => !t.caption || !t.closest('[tabindex=\"0\"]'))"
        assert page.evaluate(f"{bare}.length") == 0
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"


def test_cancel_needs_the_token(page: "Page", tmp_path: Path) -> None:
    RunFolder(tmp_path / "runs" / "first").note(RunState("finished", "7"))
    with dashboard(tmp_path, "coordinator") as url:
        page.goto(f"{url}/runs/first")
        page.get_by_text("Cancel or resume this run").click()
        said = []
        for text in ("wrong", TOKEN.text):
            with page.expect_response(lambda answer: answer.url.endswith("/cancel")) as answer:
                page.fill("#token", text)
                page.get_by_role("button", name="Cancel").click()
            said.append(answer.value.status)
    assert said == [401, 409]  # 409: it has ended already
