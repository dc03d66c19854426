import json
from dataclasses import asdict
from pathlib import Path

import pytest

from client.execution import Execution
from client.store import safe_name
from common.errors import CheckpointError
from simulations.folder import RunFacts, RunFolder, new_run_name

FACTS = RunFacts(
    run="run-1",
    study_file="sha256:s",
    bundle="sha256:b",
    rows="sha256:r",
    seed=3,
    execution=Execution(precision="bf16", threads=2),
)


def test_what_was_started_is_what_is_resumed(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "out")
    assert not folder.is_used()
    folder.start(FACTS)
    assert folder.is_used()
    assert RunFolder(tmp_path / "out").facts() == FACTS


def test_one_process_at_a_time_plays_a_run(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.start(FACTS)
    with folder.at_work(), pytest.raises(CheckpointError, match="another process plays"), folder.at_work():
        pass
    with folder.at_work():
        pass


def test_everything_of_a_run_is_in_its_folder(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    places = [
        folder.bundle,
        folder.checkpoint,
        folder.sites,
        folder.scratch,
        folder.adapter,
        folder.results,
        folder.report,
    ]
    assert len(set(places)) == len(places)
    assert {place.parent for place in places} == {tmp_path}


def test_nothing_to_resume_is_said(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no run to resume in .*; leave out --resume"):
        RunFolder(tmp_path).facts()


CONTENT = json.dumps(asdict(FACTS))


@pytest.mark.parametrize(
    "text",
    [
        "",
        CONTENT[:-9],
        "[]",
        "{}",
        "3",
        "null",
        CONTENT.replace('"seed": 3, ', ""),
        CONTENT.replace('"run"', '"name"'),
        CONTENT.replace('"threads"', '"thread"'),
        json.dumps({**asdict(FACTS), "execution": []}),
    ],
)
def test_damaged_facts_are_said_by_name(text: str, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(CONTENT)
    RunFolder(tmp_path).facts()
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(CheckpointError, match=r"run\.json cannot be read"):
        RunFolder(tmp_path).facts()


def test_each_run_has_a_name_of_its_own_that_a_site_can_store() -> None:
    names = {new_run_name() for _ in range(100)}
    assert len(names) == 100
    assert {safe_name(name) for name in names} == names
