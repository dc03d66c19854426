"""The README's commands run as they stand: shell blocks first, then the Python blocks, in one empty folder."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```$", README, flags=re.DOTALL | re.MULTILINE)


def run(command: list[str], folder: Path) -> None:
    environ = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, timeout=420, check=False)
    assert done.returncode == 0, f"{command[-1]}\n{done.stdout}\n{done.stderr}"


@pytest.mark.processes
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_every_command_of_the_readme_runs(tmp_path: Path) -> None:
    run(["bash", "-euo", "pipefail", "-c", "\n".join(blocks("sh"))], tmp_path)
    for block in blocks("python"):
        run([sys.executable, "-c", block], tmp_path)

    assert (tmp_path / "predictions.csv").read_text().count("\n") == 241
    assert (tmp_path / "out" / "readmission" / "report.html").stat().st_size > 10_000


def test_every_link_of_the_readme_leads_to_a_file() -> None:
    targets = re.findall(r"\]\((?!https?:|#)([^)#]+)", README)

    assert targets
    assert [t for t in targets if not (ROOT / t).exists()] == []


def test_every_make_target_of_the_readme_exists() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    named = re.findall(r"^make ([a-z-]+)$", "\n".join(blocks("console")), flags=re.MULTILINE)

    assert named
    assert [t for t in named if not re.search(rf"^{t}:", makefile, flags=re.MULTILINE)] == []
