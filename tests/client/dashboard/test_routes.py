"""The pages of a real site's dashboard: what they show is what its files say, and nothing of a patient."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from client.dashboard.routes import PAGES
from client.ledger import open_ledger
from client.ledger_files import ChargeKey
from client.row_check import check_rows
from client.site_folder import SiteFolder, short
from client.table_files import read_raw
from common.privacy._accounting import Spending, epsilon_of
from common.protocol import Reply
from common.web.guard import CONTENT_POLICY
from common.web.token import Token
from simulations.export_sites import csv_of

Make = Callable[..., Any]
Pages = Callable[..., Any]
Cells = Callable[[str, str], list[list[str]]]
MARK = "Zebrafinch7741"
PARTS = ("/parts/condition", "/parts/chain", "/parts/privacy", "/parts/data")
ALL = (*(path for path, _ in PAGES), *PARTS)


def lines_of(folder: SiteFolder) -> list[dict[str, Any]]:
    return [json.loads(line) for line in folder.journal.read_text().splitlines()][1:]


@pytest.fixture
def answered(make_site: Make, ask: Callable[..., Any]) -> Any:
    """A site that answered two rounds, one of them twice, and refused one."""
    site = make_site()
    site.approve()
    hospital = site.hospital()
    for number in (1, 1, 2):
        assert isinstance(site.sent(hospital, ask(site.bundle, round=number)), Reply)
    site.folder.paused.touch()
    site.sent(hospital, ask(site.bundle, round=3))
    site.folder.paused.unlink()
    return site


def test_the_numbers_are_those_of_the_files(answered: Any, pages: Make, cells: Cells) -> None:
    page, lines = pages(answered.folder), lines_of(answered.folder)
    html = page("/left").text
    shown = cells(html, "lines")
    assert [row[1] for row in shown] == [line["decision"] for line in reversed(lines)]
    assert [row[6] for row in shown] == [f"{line['size_bytes']:,}" for line in reversed(lines)]
    assert [row[3:6] for row in shown] == [[n["run"], str(n["round"]), n["kind"]] for n in reversed(lines)]
    assert [row[8] for row in shown] == [short(n["policy"]) if n["policy"] else "-" for n in reversed(lines)]
    assert shown[0][7] == "PAUSED"
    assert all(name in html for name in lines[0]["metrics"])
    left = sum(line["size_bytes"] for line in lines)
    ((study, *counts),) = [row[:5] for row in cells(html, "totals")]
    assert (study, counts) == ("quick", ["2", "1", "1", f"{left:,}"])
    first = page("/").text
    assert "<dd>3<small>" in first
    studies = page("/studies").text
    assert f"{answered.spent():,} of " in studies
    assert answered.bundle.digest in studies
    assert "fine-tunes by lora" in studies
    steps = cells(page("/training").text, "rounds")
    assert [row[0] for row in steps] == ["2", "1"]
    assert "4 receipts, each signed" in page("/parts/chain").text


def test_privacy_spent_is_the_ledger_s(make_site: Make, pages: Make, cells: Cells) -> None:
    site, one = make_site(), Spending(2.0, 0.2, 10)
    for number in (1, 2):
        key = ChargeKey("sha256:" + "7" * 64, "run", number, "train", "request")
        open_ledger(site.folder).charge(key, [f"{MARK}-{n}" for n in range(25)], one)
    open_ledger(site.folder).note_unprotected("sha256:" + "8" * 64, [MARK])
    html = pages(site.folder)("/parts/privacy").text
    spent = epsilon_of([one, one], delta=1e-5)
    first, second = cells(html, "privacy-1")
    assert first[:4] == ["Group 1", "25", f"{spent:.2f}", f"{8 - spent:.2f}"]
    assert second[:3] == ["Group 2", "<5", "no bound"]
    assert [row[2:] for row in cells(html, "privacy-2")] == [["2", f"{spent:.2f}"], ["-", "no bound"]]
    assert MARK not in html


def test_the_data_report_is_what_site_check_counts(answered: Any, pages: Make) -> None:
    rows = answered.folder.path.parent / "rows.csv"
    found = check_rows(rows, answered.bundle.study)
    html = pages(answered.folder)("/parts/data").text
    assert f"<dd>{found.rows}</dd>" in html
    for name, number in {**found.labels, **found.parts}.items():
        assert f'<th scope="row">{name}</th>' in html
        assert f"<td>{number}</td>" in html or number < 5 or "5 or more" in html


def marked(rows: Path, *, header: bool) -> None:
    """Put the mark into every text and patient's id, one number and one label, or into the header as well."""
    raw = {name: list(cells) for name, cells in read_raw(rows).items()}
    raw["note"] = [f"{cell} {MARK}" for cell in raw["note"]]
    raw["patient"] = [f"{MARK}-{cell}" for cell in raw["patient"]]
    raw["age"][3] = raw["outcome"][4] = MARK
    content = csv_of(raw, range(len(raw["note"])))
    rows.write_bytes(content if header else content.split(b"\n", 1)[1])


@pytest.mark.parametrize("header", [True, False])
def test_nothing_of_a_row_is_on_any_page(header: bool, answered: Any, pages: Make, ask: Callable[..., Any]) -> None:
    rows = answered.folder.path.parent / "rows.csv"
    marked(rows, header=header)
    answered.sent(answered.hospital(), ask(answered.bundle, round=3))  # refused: the rows are wrong
    page = pages(answered.folder)
    for path in ALL:
        answer = page(path)
        assert answer.status_code == 200
        assert MARK not in answer.text, path
        assert MARK.lower() not in str(answer.headers).lower()
    assert ("not a number" in page("/parts/data").text) == header
    assert MARK in rows.read_text()


def test_a_page_asks_for_the_token_where_there_is_one(make_site: Make, pages: Make) -> None:
    page = pages(make_site().folder, Token("secret"))
    for path in (*ALL, "/events", "/static/web.css"):
        assert page(path).status_code == 401
        assert page(path, authorization="Bearer wrong").status_code == 401
        assert page(path).headers["content-security-policy"] == CONTENT_POLICY
    assert page("/", authorization="Bearer secret").status_code == 200
    assert page("/", authorization="Basic OnNlY3JldA==").status_code == 200


def test_a_new_site_has_all_pages(make_site: Make, pages: Make) -> None:
    page = pages(make_site().folder)
    texts = {path: page(path).text for path in ALL}
    assert "no line is in the journal yet" in texts["/left"]
    assert "No study is approved" in texts["/studies"]
    assert "No study is approved" in texts["/parts/data"]
    assert "No step is in the log yet" in texts["/training"]
    assert "Nothing was spent" in texts["/parts/privacy"]
    assert "There is no journal" in texts["/parts/chain"]
    assert "processes do not run" in texts["/parts/condition"]


def test_a_broken_policy_is_said_where_it_counts(answered: Any, pages: Make) -> None:
    page = pages(answered.folder)
    policy = answered.folder.policy.read_text()
    answered.folder.policy.write_text("runs = ")
    for path in ("/", "/studies", "/policy", "/parts/privacy"):
        assert "answers nothing" in page(path).text, path
    assert "broken" in page("/").text
    assert page("/left").text.count("<tr>") > 4
    answered.folder.policy.write_text(policy)
    assert "answers nothing" not in page("/policy").text


def test_files_that_go_and_come_are_survived(answered: Any, pages: Make, cells: Cells) -> None:
    page, folder = pages(answered.folder), answered.folder
    assert len(cells(page("/left").text, "lines")) == 4
    content = folder.journal.read_bytes()
    folder.journal.unlink()
    gone = page("/left").text
    assert "not there any more" in gone
    assert len(cells(gone, "lines")) == 4
    folder.journal.write_bytes(content[:-30])
    cut = page("/left").text
    assert "The last line is not finished" in cut
    assert len(cells(cut, "lines")) == 3
    folder.journal.write_bytes(content)
    away = folder.path.with_name("away")
    folder.path.rename(away)
    for path in ALL:
        assert "folder is not there" in page(path).text, path
    away.rename(folder.path)
    assert len(cells(page("/left").text, "lines")) == 4


def test_a_policy_that_was_changed_is_told_at_the_study(answered: Any, pages: Make) -> None:
    page = pages(answered.folder)
    assert "has changed since" not in page("/studies").text
    answered.set_policy(methods=("prefix",))
    assert "has changed since" in page("/studies").text
    assert "Refused as things are: the method lora is not" in page("/studies").text


def test_it_only_reads(answered: Any, pages: Make) -> None:
    def state() -> dict[str, tuple[int, int]]:
        files = (path for path in answered.folder.path.rglob("*") if path.is_file())
        return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in files}

    before, page = state(), pages(answered.folder)
    for path in ALL:
        page(path)
    assert state() == before
