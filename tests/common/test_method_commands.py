"""`fedpeft methods` lists every method from its file alone."""

import subprocess
import sys

import pytest

from common import plugins
from common.command import main
from common.method_commands import describe


def test_each_method_has_its_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["methods"])
    lines = capsys.readouterr().out.splitlines()
    names = plugins.available("common.peft_methods")
    assert [line.split()[0] for line in lines if not line.startswith(" ")] == names
    assert len(lines) == 3 * len(names)


def test_a_method_is_described_by_its_file() -> None:
    what, options, average = describe("prefix")
    assert what.startswith("prefix        Prefix tuning: ")
    assert "virtual_tokens (25), projection (unset)" in options
    assert average.endswith("is exact")
    assert describe("lora")[2].endswith("is an approximation")
    assert describe("full")[1].endswith("options: none")


def test_it_needs_no_torch() -> None:
    program = (
        "import sys; sys.modules.update(dict.fromkeys(('torch', 'transformers', 'peft'))); "
        "from common.method_commands import methods; methods()"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "layer-norm" in done.stdout
