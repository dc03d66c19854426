"""A method that the base model cannot take, and rows that do not agree: the check says what the run would."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from torch import nn

from common.command import main

STUDY = """
name = "mine"
base_model = { source = "generated:tiny-bert" }
task = { target = "outcome", labels = ["no", "yes"], max_length = 24 }
data = { patient_id = "pid", columns = { note = "text", age = "number" } }
federation = { rounds = 1 }
simulation = { data = "rows.csv", site_column = "hospital" }
"""
HEAD = ("hospital", "pid", "note", "age", "outcome")


def write_rows(path: Path, *, without: str = "", yes_at_b: str = "yes") -> None:
    """60 rows of three hospitals; a column is left out, or hospital b calls its positives otherwise."""
    lines = [HEAD]
    for number in range(60):
        site, ill = "abc"[number % 3], number % 2
        outcome = (yes_at_b if site == "b" else "yes") if ill else "no"
        lines.append((site, f"p{number}", "fever" if ill else "rash", str(30 + number), outcome))
    kept = [index for index, name in enumerate(HEAD) if name != without]
    path.write_text("".join(",".join(line[index] for index in kept) + "\n" for line in lines))


@pytest.fixture(scope="module")
def desk(
    tmp_path_factory: pytest.TempPathFactory, tiny_model: Path, make_random_model: Callable[[str], nn.Module]
) -> Path:
    """A user's folder: a study, rows, rows that do not agree with it, and a model that has no biases."""
    folder = tmp_path_factory.mktemp("desk")
    (folder / "mine.toml").write_text(STUDY)
    write_rows(folder / "rows.csv")
    write_rows(folder / "differ.csv", yes_at_b="positive")
    write_rows(folder / "no-age.csv", without="age")
    write_rows(folder / "no-outcome.csv", without="outcome")
    write_rows(folder / "no-hospital.csv", without="hospital")
    shutil.copytree(tiny_model, folder / "llama")
    make_random_model("llama").save_pretrained(folder / "llama")  # type: ignore[operator] # a model of transformers
    return folder


WRONG = {
    "targets that match nothing": ["peft.targets=['qury']"],
    "no targets": ["peft.targets=[]"],
    "feed-forward layers that match nothing": ["peft={method='ia3',feedforward=['dens']}"],
    "ranks of no target": ["peft.ranks={key=2}"],
    "a rank above the layer's size": ["peft.rank=33"],
    "one layer's rank above its size": ["peft.ranks={value=34}"],
    "AdaLoRA's rank above the layer's size": ["peft={method='adalora',rank=35}"],
    "a rank to prune to above the first": ["peft={method='adalora',rank=4,target_rank=5}"],
    "an odd rank with orthogonal factors": ["peft={init='orthogonal',rank=3}"],
    "more blocks than there are": ["peft={method='last-layers',layers=3}"],
    "a bottleneck of nothing": ["peft={method='bottleneck',reduction=99}"],
    "a prefix that leaves no room": ["peft={method='prefix',virtual_tokens=125}"],
    "a prompt that leaves no room": ["peft={method='prompt',virtual_tokens=200}"],
    "an architecture without biases": ["peft={method='bitfit'}", "base_model.source=dir:llama"],
    "a pattern that matches nothing": ["peft.private=['hed.*']"],
    "a part of a hybrid": ["peft={method='hybrid',first={method='lora',rank=36}}"],
    "labels that differ between sites": ["simulation.data=differ.csv"],
    "a missing input column": ["simulation.data=no-age.csv"],
    "a missing target column": ["simulation.data=no-outcome.csv"],
    "a missing site column": ["simulation.data=no-hospital.csv"],
}
SAID = {
    "targets that match nothing": "no layer 'qury'; it has: dense, key, query, value; did you mean 'query'?",
    "no targets": "peft.targets: names no layer; the base model has: dense, key, query, value",
    "feed-forward layers that match nothing": "peft.feedforward: the base model has no layer 'dens'; it has: dense,",
    "ranks of no target": "peft.ranks: 'key' is the end of no target; the targets are: encoder.layer.0",
    "a rank above the layer's size": "peft.rank = 33 is above the size of layer 'encoder.layer.0",
    "one layer's rank above its size": "34 is above the size of layer 'encoder.layer.0.attention.self.value', 32 x 32",
    "AdaLoRA's rank above the layer's size": "peft.rank = 35 is above the size of layer",
    "a rank to prune to above the first": "target_rank = 5 is above rank = 4; expected at most that",
    "an odd rank with orthogonal factors": "init = 'orthogonal' needs an even rank, which 3 is not",
    "more blocks than there are": "peft.layers = 3, and the base model has 2 blocks; expected at most that",
    "a bottleneck of nothing": "peft.reduction = 99 is above the hidden size; expected at most 32",
    "a prefix that leaves no room": "takes 125 of the base model's 128 positions, which leaves 3 for the text",
    "a prompt that leaves no room": "leaves 0 for the text; expected at least 4: use fewer virtual tokens",
    "an architecture without biases": "the base model (llama) has none; choose layer-norm, or lora",
    "a pattern that matches nothing": "peft.private: pattern 'hed.*' matches none of",
    "a part of a hybrid": "peft.rank = 36 is above the size of layer",
    "labels that differ between sites": "row 2: found 'positive', task.labels are no, yes; correct or remove the row",
    "a missing input column": "'no-age.csv' has no column 'age'; it has: hospital, pid, note, outcome",
    "a missing target column": "'no-outcome.csv' has no column 'outcome'; it has: hospital, pid, note, age",
    "a missing site column": "simulation.site_column 'hospital'",
}


@pytest.mark.parametrize("command", ["study check mine.toml", "simulate mine.toml --no-comparison --out new"])
@pytest.mark.parametrize("wrong", WRONG)
def test_it_ends_with_one_line_and_leaves_nothing(
    wrong: str, command: str, desk: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(desk)
    before = sorted(desk.rglob("*"))
    overrides = [argument for override in WRONG[wrong] for argument in ("--set", override)]
    assert main([*command.split(), *overrides]) == 2
    line = capsys.readouterr().err
    assert line.startswith("fedpeft: ")
    assert (line.count("\n"), line[-1]) == (1, "\n")
    assert SAID[wrong] in line
    assert sorted(desk.rglob("*")) == before


# LoRA: 4 layers of rank 8, 32 x 32; AdaLoRA: rank 12, with e and importance; the head: 2 x 32 + 2.
@pytest.mark.parametrize(
    ("peft", "expected"),
    [
        ("{}", f"{4 * 8 * 64 + 66:,} parameters in 10 tensors, of which 0"),
        ("{method='adalora'}", f"{4 * 12 * 66 + 66:,} parameters in 18 tensors, of which 0"),
        ("{private=['head.*']}", f"{4 * 8 * 64 + 66:,} parameters in 10 tensors, of which 2"),
    ],
)
def test_the_check_says_what_is_trained(
    peft: str, expected: str, desk: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(desk)
    with pytest.raises(SystemExit) as end:
        main(["study", "check", "mine.toml", "--set", f"peft={peft}"])
    assert end.value.code == 0
    said = [line for line in capsys.readouterr().out.splitlines() if line.startswith("adapter ")]
    assert said == [f"adapter of {expected} stay at each site"]
