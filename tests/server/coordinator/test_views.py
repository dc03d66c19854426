"""The tables that people see fit a terminal of 80 columns, and cut nothing."""

from datetime import UTC, datetime

import pytest

from common.keys import fingerprint
from server.coordinator.registration import SiteState
from server.coordinator.roster import Site
from server.coordinator.views import print_sites

KEY = "ed25519:uchdUo5SejK7KG2Ao5OuetwrXQzFMsX/uLCl0Q5eaAg="


def test_names_times_and_fingerprints_are_whole_in_80_columns(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    site = Site(name="st-mary", transport_key="-", signing_key=KEY, enrolled=datetime(2026, 1, 2, 3, 4, tzinfo=UTC))
    print_sites([SiteState(site, "online")])
    said = capsys.readouterr().out
    groups = fingerprint(KEY).split()
    assert max(map(len, said.splitlines())) <= 80
    for whole in ("st-mary", "2026-01-02 03:04", " ".join(groups[:4]), " ".join(groups[4:])):
        assert whole in said
