from pathlib import Path

import httpx

from server.dashboard.folders import Source
from server.dashboard.serving import showing


def test_a_run_can_be_looked_at_while_another_works(run_folder: Path, tmp_path: Path) -> None:
    said: list[str] = []
    with showing(Source(run_folder, "simulated"), port=0, say=said.append):
        url = said[0].removeprefix("dashboard: ")
        assert "8 of 8" in httpx.get(f"{url}/runs/long").text
        assert httpx.get(f"{url}/", headers={"host": "evil.example"}).status_code == 421
    assert len(said) == 1


def test_a_folder_that_is_not_there_yet_has_no_runs(tmp_path: Path) -> None:
    said: list[str] = []
    with showing(Source(tmp_path / "later", "simulated"), port=0, say=said.append):
        answer = httpx.get(said[0].removeprefix("dashboard: "))
    assert answer.status_code == 200
    assert "No run is here yet" in answer.text
