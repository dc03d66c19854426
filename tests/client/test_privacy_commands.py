"""What the person who answers for the patients' data is told, and that it is told from the site's own ledger."""

import json
from collections.abc import Callable
from typing import Any

import pytest
import typer
from click.testing import Result
from typer.testing import CliRunner

from client.ledger import open_ledger
from client.ledger_files import BOOK, ChargeKey
from client.site_commands import register
from client.site_folder import SiteFolder
from common.errors import CheckpointError, UserError
from common.privacy._accounting import Spending, epsilon_of

Make = Callable[..., Any]
PATIENTS = [f"patient-{number}" for number in range(25)]
ROUND = Spending(2.0, 0.2, 10)


def call(folder: SiteFolder, *options: str) -> Result:
    app = typer.Typer(pretty_exceptions_enable=False)
    register(app)
    return CliRunner().invoke(app, ["site", "privacy", str(folder.path), *options])


def spend(folder: SiteFolder, study: str, rounds: int, patients: list[str]) -> None:
    for number in range(rounds):
        open_ledger(folder).charge(ChargeKey(study, "run", number, "train", "request"), patients, ROUND)


def test_at_first_nothing_is_spent(make_site: Make) -> None:
    site = make_site()
    said = call(site.folder)
    assert said.exit_code == 0, said.output
    assert "epsilon 8 of a patient at delta 1e-05" in said.output
    assert "spent         nothing" in said.output
    assert not site.folder.ledger.exists()


def test_each_group_is_told_what_it_has_spent_on_which_study_and_what_that_means(make_site: Make) -> None:
    site = make_site()
    site.approve()
    spend(site.folder, site.bundle.study.digest, 3, PATIENTS)
    spend(site.folder, "sha256:0123456789abcdef0123", 1, PATIENTS[:20])
    open_ledger(site.folder).note_unprotected("sha256:fedcba9876543210", PATIENTS[20:])
    said = call(site.folder)
    assert said.exit_code == 0, said.output
    lines = said.output.splitlines()
    four, three = (epsilon_of([Spending(2.0, 0.2, 10 * n)], delta=1e-5) for n in (4, 3))
    assert any("group 1" in line and "20 patients" in line for line in lines)
    assert any(f"epsilon {four:.2f} of 8; {8 - four:.2f} left, enough for" in line for line in lines)
    assert any(f"{site.bundle.study.name}: 3 rounds, epsilon {three:.2f} if it were alone" in line for line in lines)
    assert any("study 0123456789abcdef (not approved any more): 1 round, " in line for line in lines)
    assert any("group 2" in line and "5 patients" in line for line in lines)
    assert any("without a guarantee" in line and "fedcba9876543210" in line for line in lines)
    assert "no analysis of what left tells whether a given patient's rows were in it better than this" in said.output
    assert "search for a learning rate" in said.output
    assert "patient-1" not in said.output


def test_the_policy_s_own_numbers_count(make_site: Make) -> None:
    site = make_site()
    site.set_policy(privacy_epsilon=1.0, privacy_delta=0.05)
    spend(site.folder, "sha256:0123456789abcdef", 6, PATIENTS)
    lines = call(site.folder).output
    assert "epsilon 1 of a patient at delta 0.05" in lines
    assert "too little for one more round" in lines
    assert "delta 0.05 is not below 1 in 25 patients" in lines


def test_machines_get_the_same(make_site: Make) -> None:
    site = make_site()
    spend(site.folder, "sha256:0123456789abcdef", 2, PATIENTS)
    found = json.loads(call(site.folder, "--json").output)
    assert found["limit"] == {"epsilon": 8.0, "delta": 1e-5, "accountant": "pld"}
    (group,) = found["groups"]
    assert group["patients"] == 25
    assert group["epsilon"] == pytest.approx(epsilon_of([ROUND, ROUND], delta=1e-5))
    assert group["studies"][0]["rounds"] == 2


def test_what_cannot_be_read_is_one_line(make_site: Make) -> None:
    site = make_site()
    spend(site.folder, "sha256:0123456789abcdef", 1, PATIENTS)
    book = (site.folder.ledger / BOOK).read_bytes()
    (site.folder.ledger / BOOK).write_bytes(book[:-1])
    found = [call(site.folder).exception]
    (site.folder.ledger / BOOK).unlink()
    found.append(call(site.folder).exception)
    assert all(isinstance(each, CheckpointError) for each in found)
    site.folder.storage_key.chmod(0o644)
    found.append(call(site.folder).exception)
    site.folder.settings.unlink()
    found.append(call(site.folder).exception)
    for each, word in zip(found, ["cannot be opened", "is gone", "storage key", "is no site"], strict=True):
        assert isinstance(each, UserError)
        assert word in str(each)
        assert "\n" not in str(each)
