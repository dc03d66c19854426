"""`fedpeft tasks` lists every task from its file alone."""

import subprocess
import sys

import pytest

from common import plugins
from common.command import main
from common.task_commands import describe


def test_each_task_has_its_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["tasks"])
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in lines if not line.startswith(" ")] == plugins.available("common.tasks")


def test_a_task_is_described_by_its_file() -> None:
    what, options, models, metrics = describe("regression")
    assert what.startswith("regression: one number for each row")
    assert options.endswith("options: offset (0.0), scale (1.0)")
    assert models.endswith("base models: encoder")
    assert metrics.endswith("measured by: MAE, RMSE, R2, Squared error")
    assert describe("token-classification")[1].endswith('options: labels ([]), criterion ({name = "cross-entropy"})')


def test_every_task_says_in_a_sentence_what_it_learns() -> None:
    for name in plugins.available("common.tasks"):
        assert len(describe(name)[0]) > len(name) + 20


def test_it_needs_no_torch() -> None:
    program = (
        "import sys; sys.modules.update(dict.fromkeys(('torch', 'transformers', 'peft'))); "
        "from common.task_commands import tasks; tasks()"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "token-classification" in done.stdout
