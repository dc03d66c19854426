"""What a user can get wrong: exit 2, one line that says what to do, and nothing left behind."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from shutil import copytree

import pytest

from common.command import main

STUDY = """
name = "mine"
base_model = { source = "generated:tiny-bert" }
task = { target = "outcome", labels = ["no", "yes"], max_length = 24 }
data = { patient_id = "pid", columns = { note = "text", age = "number" } }
peft = { rank = 2, targets = ["query"] }
federation = { rounds = 1 }
evaluation = { resamples = 5 }
simulation = { data = "rows.csv", site_column = "hospital" }
"""
MODEL = ("--base-model", "generated/tiny-bert")
Refused = Callable[..., str]


def rows(count: int = 60) -> str:
    lines = ["hospital,pid,note,age,outcome"]
    for number in range(count):
        note, outcome = ("fever", "yes") if number % 2 else ("rash", "no")
        lines.append(f"{'abc'[number % 3]},p{number},{note} on day {number},{30 + number},{outcome}")
    return "\n".join(lines) + "\n"


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's folder: a study, its rows, a finished run, adapters with and without private heads."""
    folder = tmp_path_factory.mktemp("desk")
    (folder / "rows.csv").write_text(rows())
    (folder / "mine.toml").write_text(STUDY)
    (folder / "few.csv").write_text("note,other\nfever,1\n")
    (folder / "not.toml").write_text("name = \n")
    (folder / "foreign").mkdir()
    (folder / "foreign" / "letter.txt").write_text("dear")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        succeed(shell("simulate mine.toml --no-comparison --out run"))
        private = ["--set", 'peft.private=["head.*"]']
        succeed([*shell("simulate mine.toml --no-comparison --out private"), *private])
        succeed(shell("simulate mine.toml --no-comparison --out several --seeds 2"))
    copytree(folder / "run" / "generated", folder / "generated")
    copytree(folder / "run" / "adapter", folder / "changed")
    copytree(folder / "run" / "adapter", folder / "sent" / "adapter")
    tensors = bytearray((folder / "changed" / "adapter.safetensors").read_bytes())
    tensors[-3] ^= 1
    (folder / "changed" / "adapter.safetensors").write_bytes(tensors)
    return folder


def shell(command: str) -> list[str]:
    return command.split()


def succeed(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 0


def listing(folder: Path) -> dict[str, bytes | None]:
    return {str(p.relative_to(folder)): p.read_bytes() if p.is_file() else None for p in folder.rglob("*")}


@pytest.fixture
def refused(
    desk: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Callable[..., str]]:
    """Give a command to the command line and return its one line on stderr."""
    monkeypatch.chdir(desk)
    before = listing(desk)
    capsys.readouterr()

    def give(*arguments: str) -> str:
        assert main(arguments) == 2
        out, err = capsys.readouterr()
        assert out == ""
        assert err.startswith("fedpeft: ")
        assert err.count("\n") == 1
        return err.removeprefix("fedpeft: ").strip()

    yield give
    assert listing(desk) == before


def simulate(*options: str) -> list[str]:
    return ["simulate", "mine.toml", "--no-comparison", "--out", "new/run", *options]


WRONG_KEYS = {
    "training.learning_rat=1": ["unknown key", "did you mean 'learning_rate'?"],
    "wards=3": ["wards: unknown key", "there are: name,"],
    "training.batch_size=many": ["training.batch_size", "valid integer", "'many'"],
    "federation.fraction=0": ["federation.fraction", "greater than 0", "found 0"],
    "name=St. Mary": ["name", "letters, digits", "'St. Mary'"],
    "base_model.source=bert": ["base_model.source", "dir:PATH", "'bert'"],
    "base_model.digest=1": ["base_model.digest"],
    "peft.method=lorra": ["peft.method = 'lorra' does not exist", "there are: ", " lora, ", " prefix"],
    "peft.ranc=4": ["has no option 'ranc'", "it has: ", "rank"],
    "peft.rank=0": ["option rank", "greater than or equal to 1"],
    "aggregation.name=fedavgg": ["aggregation.name = 'fedavgg' does not exist", "there are: ", "fedavg"],
    "aggregation.momentum=1": ["has no option 'momentum'"],
    "task.kind=guess": ["task.kind = 'guess' does not exist", "sequence-classification"],
    "data.kind=sql": ["data.kind = 'sql' does not exist", "there are: images, table"],
    "task.labels=['no','no']": ["labels must differ"],
    'simulation={data="rows.csv"}': ["give either site_column or partition"],
    'simulation={data="rows.csv",partition={name="random",sites=3}}': [
        "'random' does not exist",
        "dirichlet, iid, quantity",
    ],
    "nonsense": ["--set 'nonsense'", "expected key=value"],
    "=3": ["--set '=3'", "expected key=value"],
    "name.x=3": ["'name' is a value, not a section"],
}


@pytest.mark.parametrize("override", WRONG_KEYS)
def test_a_wrong_key_or_value(refused: Refused, override: str) -> None:
    line = refused(*simulate("--set", override))
    assert line.startswith(("mine.toml: ", "--set "))
    assert all(words in line for words in WRONG_KEYS[override]), line
    assert refused("study", "check", "mine.toml", "--set", override) == line


WRONG_DATA = {
    "simulation.data=none.csv": ["'none.csv' does not exist", "is its path right?"],
    "simulation.data=mine.toml": ["'mine.toml' is of a kind not known", ".csv, .tsv or .parquet"],
    "simulation.site_column=ward": ["simulation.site_column 'ward'", "there are: hospital"],
    "task.target=result": ["'rows.csv' has no column 'result'", "it has: hospital, pid, note, age, outcome"],
    "data.patient_id=id": ["'rows.csv' has no column 'id'"],
    "data.columns.pulse=number": ["'rows.csv' has no column 'pulse'"],
    "data.columns.note=number": ["column 'note', row 1: a value that is not a number"],
    "task.labels=['no','maybe']": ["rows.csv", "row 2: found 'yes', task.labels are no, maybe", "correct or remove"],
    "federation.sites=['a','z']": ["federation.sites: 'z' has no rows", "the data have: a, b, c"],
    "evaluation.test_fraction=0.84": ["no training rows", "test_fraction"],
    "aggregation.name=multi-krum": ["needs 5 sites", "3 take part"],
    'simulation={data="rows.csv",partition={name="iid",sites=100}}': [
        "60 patients cannot fill 100 sites",
        "fewer sites",
    ],
    f"base_model.digest=sha256:{'0' * 64}": ["has digest sha256:", f"expects sha256:{'0' * 64}", "another model"],
    "base_model.source=dir:nowhere": ["nowhere", "no such folder"],
    "base_model.source=dir:foreign": ["'foreign' has no *.safetensors", "letter.txt"],
    "base_model.source=package:no_such/model": ["not installed here", "pip install no-such"],
    "peft.targets=['nothing']": ["no layer 'nothing'", "it has: ", "query"],
    'peft.private=["hed.*"]': ["pattern 'hed.*' matches none of", "such as"],
    'peft.private=["*"]': ["at least one that is shared"],
    "training.precision=fp16": ["fp16", "use 'bf16', 'fp32' or 'auto'"],
}


@pytest.mark.parametrize("override", WRONG_DATA)
def test_wrong_data_or_a_wrong_base_model(refused: Refused, override: str) -> None:
    line = refused(*simulate("--set", override))
    assert all(words in line for words in WRONG_DATA[override]), line


WRONG_COMMANDS = {
    "simulate hert": ["there is no study 'hert'", "heart, heart-dp, heart-lora, quick"],
    "simulate hert.toml": ["there is no study file hert.toml"],
    "simulate not.toml": ["not.toml is not TOML", "line 1"],
    "simulate rows.csv": ["rows.csv holds rows", "fedpeft study init rows.csv"],
    "simulate quick --runtime rey": ["--runtime 'rey' does not exist", "inprocess, ray"],
    "simulate quick --device gpu": ["device 'gpu' is not known", "'cpu'"],
    "simulate quick --seed 4294967296": ["seed", "less than 4294967296"],
    "simulate quick --seeds 2 --seed 4294967295": ["seed", "less than 4294967296"],
    "simulate quick --plugins nowhere": ["--plugins: nowhere is not a folder"],
    "simulate mine.toml --out rows.csv": ["rows.csv is a file", "name a folder"],
    "simulate mine.toml --out rows.csv/run": ["rows.csv/run cannot be written", "choose another folder"],
    "simulate mine.toml --out foreign": ["foreign is not empty and holds no run", "another folder"],
    "simulate mine.toml --out foreign --resume": ["foreign is not empty and holds no run", "another folder"],
    "simulate mine.toml --out foreign --seeds 2": ["foreign is not empty and holds no run", "another folder"],
    "simulate mine.toml --out run": ["run holds a run already", "--resume, or choose another --out"],
    "simulate quick --out run": ["run holds a run already", "choose another --out"],
    "simulate quick --out run --resume": ["run holds a run of another study", "(name, "],
    "simulate mine.toml --out run --resume --rounds 2": ["other settings (federation.rounds)", "another --out"],
    "simulate mine.toml --out run --resume --seed 1": ["other settings (seed)", "another --out"],
    "simulate mine.toml --out run --resume --set simulation.data=few.csv": ["other settings (simulation.data)"],
    "simulate mine.toml --out run --seeds 2": ["run holds a run of one seed", "leave out --seeds"],
    "simulate mine.toml --out several": ["several holds runs over several seeds", "give --seeds"],
    "simulate mine.toml --out several --resume": ["several holds runs over several seeds", "give --seeds"],
    "simulate mine.toml --out several --seeds 2": ["several holds runs already", "--resume"],
    "study prepare mine.toml --out run": ["run exists", "new folder"],
    "study prepare mine.toml --out rows.csv/bundle": ["cannot be written"],
    "study prepare mine.toml --out bundle --set peft.targets=['x']": ["no layer 'x'"],
    "study init none.csv --target a --site-column b": ["'none.csv' does not exist"],
    "study init rows.csv --target result --site-column hospital": ["no column 'result'", "there are: hospital"],
    "study init rows.csv --target note --site-column hospital": ["60 values", "at most 20 labels"],
    "study init rows.csv --target outcome --site-column hospital --out mine.toml": ["mine.toml exists"],
    "study init rows.csv --target outcome --site-column hospital --out rows.csv/a.toml": ["cannot be written"],
    "report foreign": ["foreign holds no finished run"],
    "predict --adapter foreign --data rows.csv --out p.csv": [
        "expected an adapter's folder",
        "found a folder without one",
    ],
    "predict --adapter sent/adapter --data rows.csv --out p.csv": ["generated for a simulation", "--base-model"],
    "predict --adapter run/adapter --data rows.csv --out p.csv --base-model none": ["none: there is no such folder"],
    "predict --adapter run/adapter --data rows.csv --out p.csv --base-model foreign": ["no *.safetensors"],
}


@pytest.mark.parametrize("command", WRONG_COMMANDS)
def test_a_wrong_command(refused: Refused, command: str) -> None:
    line = refused(*shell(command))
    assert all(words in line for words in WRONG_COMMANDS[command]), line


def test_a_generated_base_model_is_found_beside_the_adapter_of_its_run(
    desk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(desk)
    succeed(["predict", "--adapter", "run/adapter", "--data", "rows.csv", "--out", str(tmp_path / "p.csv")])
    assert len((tmp_path / "p.csv").read_text().splitlines()) == 61


WRONG_PREDICTIONS = {
    "run/adapter few.csv p.csv": ["'few.csv' has no column 'age'", "it has: note, other"],
    "run/adapter none.csv p.csv": ["'none.csv' does not exist"],
    "run/adapter rows.csv foreign": ["--out foreign cannot be written"],
    "changed rows.csv p.csv": ["changed does not have the digest", "it was changed"],
    "private/adapter rows.csv p.csv": ["2 tensors at each site", "--private", "private.safetensors"],
    "private/adapter rows.csv p.csv --private foreign": ["--private foreign: there is no private.safetensors"],
}


@pytest.mark.parametrize("given", WRONG_PREDICTIONS)
def test_a_wrong_prediction(refused: Refused, given: str) -> None:
    adapter, data, out, *more = given.split()
    line = refused("predict", "--adapter", adapter, "--data", data, "--out", out, *MODEL, *more)
    assert all(words in line for words in WRONG_PREDICTIONS[given]), line


def test_no_line_tells_what_a_patient_s_text_says(refused: Refused) -> None:
    for override in ("data.columns.note=number", "task.target=note", "simulation.site_column=note"):
        assert "on day" not in refused(*simulate("--set", override))


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("--threads 2", "run holds a run with --threads 1 --device cpu, which fix its bytes; this is --threads 2"),
        ("--workers 3", "run holds a run without --workers, which fixes its bytes; this is --workers 3: leave it out"),
        ("--group-size 2", "run holds a run without --group-size, which fixes its bytes; this is --group-size 2"),
    ],
)
def test_a_run_that_computes_otherwise_is_not_resumed(refused: Refused, desk: Path, option: str, said: str) -> None:
    (desk / "run" / "results.json").rename(desk / "results.json")
    try:
        line = refused(*shell(f"simulate mine.toml --out run --resume {option}"))
    finally:
        (desk / "results.json").rename(desk / "run" / "results.json")
    assert said in line


def test_a_site_of_one_class_is_said_and_its_auroc_is_null_with_the_reason(
    desk: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.toml").write_text(STUDY)
    kept = [line for line in rows(120).splitlines(keepends=True) if line[0] != "b" or "yes" in line]
    (tmp_path / "rows.csv").write_text("".join(kept))
    succeed(shell("study check mine.toml"))
    said = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("b: "))
    assert "(no 0, yes 20)" in said
    assert "test rows have one class only, so no AUROC" in said
    succeed(shell("simulate mine.toml --out run"))
    federated = json.loads((tmp_path / "run" / "results.json").read_text())["comparison"]["federated"]
    assert federated["sites"]["b"]["auroc"]["value"] is None
    assert "class" in federated["sites"]["b"]["auroc"]["reason"]
