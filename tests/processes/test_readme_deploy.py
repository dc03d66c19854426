"""The README's section Deploy, run as it stands: a coordinator and two hospitals, from nothing to an adapter.

Only the port differs, since 8443 may be taken. What goes on after a failure is stopped all the same.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from client.processes import stop_site
from client.site_folder import SiteFolder
from common.leftovers import find_leftovers
from server.coordinator.processes import stop

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
SITES = ("budapest", "cleveland")
MOST_COMMANDS = 8

pytestmark = [pytest.mark.processes, pytest.mark.slow, pytest.mark.timeout(600)]


def blocks() -> list[str]:
    section = README.partition("\n## Deploy\n")[2].partition("\n## ")[0]
    return re.findall(r"^```bash\n(.*?)^```$", section, flags=re.DOTALL | re.MULTILINE)


def run(text: str, folder: Path) -> str:
    environ = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    command = ["bash", "-euo", "pipefail", "-c", text]
    done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Path]:
    """An empty folder, whose name a shell would split, and nothing that runs in it afterwards."""
    folder = tmp_path / "a désk"
    folder.mkdir()
    yield folder
    for name in SITES:
        stop_site(SiteFolder(folder / "sites" / name))
    if (folder / "coord").exists():
        stop(folder / "coord")


def test_the_deploy_section_runs_from_nothing_to_an_adapter(desk: Path, free_port: Callable[[], int]) -> None:
    deploy, look_and_stop = blocks()
    assert len(deploy.splitlines()) <= MOST_COMMANDS

    said = run(deploy.replace("8443", str(free_port())), desk)
    (results,) = (desk / "coord" / "runs").glob("*/results.json")
    content = json.loads(results.read_bytes())
    assert [list(each["participation"]) for each in content["rounds"]] == [list(SITES)] * 2
    assert {p["status"] for each in content["rounds"] for p in each["participation"].values()} == {"accepted"}
    assert (results.parent / "adapter" / "adapter_model.safetensors").stat().st_size > 0
    assert "No hospital trained a model of its own" in (results.parent / "report.html").read_text()
    assert "test AUROC" in said

    said = run(look_and_stop, desk)
    assert said.count("online") == len(SITES)
    assert "the coordinator answers" in said
    for folder in (desk / "coord", *(desk / "sites" / name for name in SITES)):
        assert find_leftovers(str(folder / "run")) == []
