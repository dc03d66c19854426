"""Every `sh` block of a page under docs/ runs as it stands: all blocks of one page, in order, in one empty folder."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parent.parent / "docs"


def script(page: Path) -> str:
    blocks = re.findall(r"^```sh\n(.*?)^```$", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    return "\n".join(blocks)


LONG = {"continue", "dashboard", "distill", "evidence", "registry", "tracking", "tune", "using", "walkthrough"}
"""Pages of over 10 s of CPU."""
PAGES = [
    pytest.param(page, id=page.stem, marks=[pytest.mark.slow] if page.stem in LONG else [])
    for page in sorted(DOCS.glob("*.md"))
    if script(page)
]


@pytest.mark.processes
@pytest.mark.timeout(300)
@pytest.mark.parametrize("page", PAGES)
def test_the_commands_of_a_page_run(page: Path, tmp_path: Path) -> None:
    environ = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    command = ["bash", "-euo", "pipefail", "-c", script(page)]
    done = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, f"{page.name}\n{done.stdout}\n{done.stderr}"
