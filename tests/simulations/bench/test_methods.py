"""The table of methods: every method has a row, and what was measured is not measured again."""

import json
from pathlib import Path

import pytest

from common import plugins
from simulations.bench import methods
from simulations.bench.methods import METHODS, main, row_of, study_of, write_page


def test_every_method_has_a_row_and_its_options_are_valid() -> None:
    assert set(plugins.available("common.peft_methods")) <= set(METHODS)
    for name, (_, rates) in METHODS.items():
        study = study_of(name, rates[0], 1, 2)
        assert (study.evaluation.split_seed, study.federation.rounds) == (1, 2)
        assert study.training.learning_rate == rates[0]


def kept(out: Path, name: str = "ia3", rate: float = 0.01) -> None:
    out.mkdir(exist_ok=True)
    parameters = {"trainable": 16898, "fraction": 0.00074, "aggregates_linearly": False}
    for each, loss in {0.003: 0.7, 0.01: 0.5, 0.03: 0.6}.items():
        (out / f"{name}-rate-{each:g}.json").write_text(json.dumps({"validation_log_loss": loss}))
    for split, auroc in enumerate((0.8, 0.9, 0.85)):
        content = {"auroc": auroc, "bytes": 68000, "parameters": parameters}
        (out / f"{name}-split-{split}-{rate:g}.json").write_text(json.dumps(content))
    (out / f"{name}-epoch.json").write_text(json.dumps({"seconds_per_epoch": 3.25, "peak_mb": 901.2}))


def test_what_is_kept_is_not_measured_again_and_the_best_rate_is_taken(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept(tmp_path / "out")
    page = tmp_path / "page.md"
    page.write_text(f"above\n{methods.START}\nold\n{methods.END}\nbelow\n")
    assert main(["--out", str(tmp_path / "out"), "--page", str(page), "ia3"]) == 0
    row = "| ia3 | 16,898 | 0.07 % | 68 kB | 901 MB | 3.2 | 0.01 | 0.850 (0.800 to 0.900) | approximate |"
    assert capsys.readouterr().out.strip() == row == row_of("ia3", tmp_path / "out", splits=3)
    lines = page.read_text().splitlines()
    assert lines[:2] == ["above", methods.START]
    assert lines[-3:] == [row, methods.END, "below"]


def test_the_page_has_the_marks_between_which_the_table_goes(tmp_path: Path) -> None:
    page = Path(methods.__file__).parents[2] / "docs" / "methods.md"
    assert page.read_text().count(methods.START) == page.read_text().count(methods.END) == 1
    copy = tmp_path / "methods.md"
    copy.write_text(page.read_text())
    write_page(copy, tmp_path, splits=3)
    assert "old" not in copy.read_text()


def test_an_unknown_method_is_answered_with_those_that_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["lorra"])
    assert "there is no method 'lorra'; there are: lora, prefix" in capsys.readouterr().err


def test_every_row_is_of_the_same_splits_however_many_were_measured(tmp_path: Path) -> None:
    """0.8 and 0.9 are the first two of three; a page of four has no row, since the fourth is not there."""
    out, page = tmp_path / "out", tmp_path / "page.md"
    kept(out)
    (out / "ia3-rate.json").write_text(json.dumps({"learning_rate": 0.01}))
    assert "| 0.850 (0.800 to 0.900) |" in row_of("ia3", out, splits=2)
    (out / "ia3-split-1-0.01.json").write_text((out / "ia3-split-0-0.01.json").read_text())
    assert "| 0.800 (0.800 to 0.800) |" in row_of("ia3", out, splits=2)
    for splits, rows in ((3, 1), (4, 0)):
        page.write_text(f"{methods.START}\n{methods.END}\n")
        write_page(page, out, splits=splits)
        assert page.read_text().count("| ia3 |") == rows


def test_no_splits_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["--splits", "0"])
    assert "--splits 0: expected at least 1" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.processes
def test_the_tool_measures_a_small_study_and_goes_on_where_it_stopped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the rate fixed, a split and an epoch, each in a process of its own; the page of another study stays."""
    out, page = tmp_path / "out", tmp_path / "page.md"
    page.write_text("mine")
    command = ["--study", "quick", "--out", str(out), "--page", str(page), "--splits", "1", "lora"]
    assert main(command) == 0
    row = capsys.readouterr().out
    names = {"lora-rate.json", "lora-split-0-0.0015.json", "lora-epoch.json"}
    assert {path.name for path in out.iterdir()} == names
    split, epoch = (json.loads((out / f"lora-{part}.json").read_text()) for part in ("split-0-0.0015", "epoch"))
    # Query and value of 2 layers of 32 units, rank 8, and a head of 2 labels: 4 * 8 * 64 + 2 * 32 + 2.
    assert split["parameters"]["trainable"] == 4 * 8 * 64 + 2 * 32 + 2
    assert split["bytes"] > 4 * split["parameters"]["trainable"]
    assert 0 <= split["auroc"] <= 1
    assert min(epoch["seconds_per_epoch"], epoch["peak_mb"], epoch["rows"]) > 0
    (out / "lora-epoch.json").unlink()
    before = (out / "lora-split-0-0.0015.json").stat().st_mtime_ns
    assert main(command) == 0
    assert {path.name for path in out.iterdir()} == names
    assert (out / "lora-split-0-0.0015.json").stat().st_mtime_ns == before
    assert row.startswith("| lora | 2,114 |")
    assert page.read_text() == "mine"
