"""`fedpeft distill` from outside, and `fedpeft predict` with what it left."""

from pathlib import Path

import pytest

from common.command import main


def test_a_student_is_made_and_scores_a_file(lesson, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:  # type: ignore[no-untyped-def] # conftest's
    out = tmp_path / "student"
    words = ["--adapter", str(lesson.adapter), "--base-model", str(lesson.base), "--data", str(lesson.rows)]
    with pytest.raises(SystemExit, match=r"^0$"):
        main(["distill", *words, "--out", str(out), "--epochs", "1"])
    said = capsys.readouterr()
    assert "it stays at the site" in said.out
    assert "test AUROC, student minus teacher on the same patients:" in said.out
    assert said.err.startswith("epoch 1/1: ")
    scored = tmp_path / "scored.csv"
    with pytest.raises(SystemExit, match=r"^0$"):
        main(["predict", "--adapter", str(out), "--data", str(lesson.rows), "--out", str(scored)])
    assert len(scored.read_text().splitlines()) == 1 + len(lesson.rows.read_text().splitlines()) - 1
    assert main(["distill", *words, "--out", str(out)]) == 2
    assert "is there already" in capsys.readouterr().err
