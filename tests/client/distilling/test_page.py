"""The README's Python, as a user runs it, says what `fedpeft predict` says."""

import re
from pathlib import Path

import pytest

from client.distilling.distil import distil
from client.distilling.page import STAYS
from client.distilling.pair import Settings
from client.prediction import predict
from client.rows import read_inputs
from common.adapter_folder import read_adapter
from common.adapter_reference import adapter_folder, base_folder


@pytest.mark.parametrize("name", ["quick", "quick-scores"])
def test_the_snippet_predicts_what_fedpeft_does(  # type: ignore[no-untyped-def] # conftest's
    name: str, make_lesson, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lesson, out = make_lesson(name), tmp_path / "student"
    distil(lesson.adapter, lesson.rows, out, Settings(epochs=1), base=lesson.base, told=lambda *_: None)
    page = (out / "README.md").read_text()
    assert STAYS in page
    texts = list(read_inputs(lesson.rows, read_adapter(lesson.adapter).study).inputs[:3])
    code = re.findall(r"```python\n(.*?)```", page, re.DOTALL)[0].replace("path/to/this-folder", str(out))
    code = re.sub(r"^texts = .*$", f"texts = {texts!r}", code, flags=re.MULTILINE)
    exec(code, {})  # in this process: another would spend seconds on its imports
    found = [float(number) for number in re.findall(r"-?\d+\.\d+(?:e-?\d+)?", capsys.readouterr().out)]
    predictions = predict(adapter_folder(out), lesson.rows, base_folder=base_folder(adapter_folder(out), None)).rows[:3]
    columns = ["prediction"] if name == "quick-scores" else ["probability_no", "probability_yes"]
    wanted = [float(str(row[column])) for row in predictions for column in columns]
    shown = [number for number in found if any(abs(number - value) < 1e-4 for value in wanted)]
    assert len(shown) >= len(wanted)
