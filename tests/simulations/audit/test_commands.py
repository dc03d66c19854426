import json
from pathlib import Path

import pytest

from common.command import main
from simulations.audit.findings import Audit


def called(*words: str) -> int:
    try:
        return main(["audit", "leakage", *words])
    except SystemExit as ended:
        return int(ended.code or 0)


def test_an_audit_that_ran_is_no_error_unless_strict(leaky_run: Path, leaky_audit: Audit, capsys) -> None:
    words = (str(leaky_run), "--resamples", "20")
    assert called(*words) == 0
    said = capsys.readouterr()
    assert "FAIL" in said.out
    assert f"page: {leaky_run / 'audit.html'}" in said.out
    assert "tokens: one gradient" in said.err
    assert called(*words, "--strict", "--json") == 1
    assert json.loads(capsys.readouterr().out)["verdict"] == "fail"


@pytest.mark.parametrize("words", [(".",), (".", "--shadows", "3")])
def test_a_user_s_mistake_is_one_line(words: tuple[str, ...], tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    assert called(*words) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
