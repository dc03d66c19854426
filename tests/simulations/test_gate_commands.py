"""`fedpeft registry gate` stands among the registry's commands, and says a line for each site."""

import json
from pathlib import Path

import pytest

from common.command import main
from simulations.run import run

COMMANDS = ["common.registry_commands", "simulations.gate_commands"]


def called(*arguments: object) -> int:
    try:
        return main(["registry", *map(str, arguments)], commands=COMMANDS)
    except SystemExit as done:
        return int(done.code or 0)


def test_each_site_has_its_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fast = ["evaluation.resamples=20", "evaluation.validation_fraction=0.4", "training.local_epochs=1"]
    run("quick", out=tmp_path / "run", rounds=1, overrides=fast, comparison=False)
    assert called("add", tmp_path / "run", "--registry", tmp_path / "registry", "--promote") == 0
    capsys.readouterr()
    assert called("gate", tmp_path / "run", "--against", tmp_path / "registry" / "quick") == 0
    said = capsys.readouterr().out
    assert said.count(" is the same (") == 3
    assert "3 of 3 sites would use the adapter of run" in said
    assert called("gate", tmp_path / "run", "--against", tmp_path / "registry" / "quick@1", "--json") == 0
    assert list(json.loads(capsys.readouterr().out)) == ["east", "north", "west"]
    assert called("gate", tmp_path, "--against", tmp_path / "registry" / "quick") == 2
