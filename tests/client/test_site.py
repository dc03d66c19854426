"""A site as its settings open it: its state is for its own user, its policy the cautious one."""

import json
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from client.gate import Policy
from client.site import open_site
from client.trainer import Trainer
from common.protocol import Refusal, Reply, Request
from simulations import stages
from simulations.catalogue import load
from simulations.export_sites import export_sites
from simulations.folder import RunFolder


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    stages.start(load("quick"), RunFolder(tmp_path / "run"), threads=1, device="cpu")
    return export_sites(tmp_path / "run", tmp_path / "sites")["east"]


def test_a_site_s_state_is_for_its_user_only_and_outlives_it(settings: Path, ask: Callable[..., Request]) -> None:
    def opened() -> Trainer:
        return open_site(settings)

    first = opened()
    assert first.gate.policy == Policy()
    asked = ask(first.bundle)
    assert isinstance(first.answer(asked), Reply)
    assert isinstance(opened().answer(asked), Reply)
    assert opened().answer(ask(first.bundle, run="run-2")) == Refusal("TOO_MANY_RUNS")
    state = settings.parent / "state"
    assert stat.S_IMODE(state.stat().st_mode) == 0o700
    files = [path for path in state.rglob("*") if path.is_file()]
    assert {path.name for path in files} == {"journal.jsonl", "train-000001.safetensors"}
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    lines = [json.loads(line) for line in (state / "journal.jsonl").read_text().splitlines()]
    assert [line["decision"] for line in lines] == ["released", "repeated", "refused"]
    assert lines[0]["digest"] == lines[1]["digest"]
