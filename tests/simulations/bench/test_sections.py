"""The bench's command: which sections there are, and that a process which measures one does not carry the others."""

import subprocess
import sys

import pytest

from simulations.bench.sections import SECTIONS, main

AS_SPAWNED = """
import runpy, sys
runpy.run_module("simulations.bench.__main__", run_name="__mp_main__")
print([name for name in sys.modules if name == "torch" or name.startswith("simulations.bench.")])
"""


def test_a_section_that_does_not_exist_is_said_with_those_that_do(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulater"]) == 2
    said = capsys.readouterr().err
    assert "'simulater'" in said
    assert all(name in said for name in SECTIONS)


def test_a_process_that_measures_imports_no_other_section() -> None:
    done = subprocess.run([sys.executable, "-c", AS_SPAWNED], capture_output=True, text=True, check=True)
    assert done.stdout.strip() in ("[]", "['simulations.bench.__main__']")
