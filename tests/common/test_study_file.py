"""A wrong study gives one line: the file, the key, and what would be right."""

from pathlib import Path

import pytest

from common.errors import StudyError
from common.plugins import available
from common.study_file import read_study

GOOD = """
name = "mine"
[base_model]
source = "dir:model"
[task]
labels = ["no", "yes"]
[data.columns]
age = "number"
[simulation]
data = "rows.csv"
site_column = "hospital"
"""


@pytest.fixture
def study_file(tmp_path: Path) -> Path:
    path = tmp_path / "mine.toml"
    path.write_text(GOOD)
    return path


def test_the_good_one_is_good(study_file: Path) -> None:
    assert read_study(study_file).task.labels == ("no", "yes")


def listed(package: str) -> str:
    return ", ".join(available(package))


SETTINGS = {
    "unknown key": ("training.learning_rte=1", "training.learning_rte: unknown key; did you mean 'learning_rate'?"),
    "unknown key, nothing like it": ("federation.zzz=1", "federation.zzz: unknown key; there are: rounds, fraction"),
    "unknown section": ("trainin.batch_size=1", "trainin: unknown key; did you mean 'training'?"),
    "unknown key two deep": ("evaluation.learning_rates.locl=1", "did you mean 'local'?"),
    "wrong type": ("training.batch_size='many'", "training.batch_size: Input should be a valid integer"),
    "unknown key of a column": (
        "data.columns.age={type='number', cutpoints=[1]}",
        "data.columns.age.cutpoints: unknown key; did you mean 'cut_points'?",
    ),
    "unknown type of a column": ("data.columns.age={type='numbr'}", "expected tags: 'number', 'category', 'text'"),
    "wrong value in a column": (
        "data.columns.age={type='number', cut_points=['x']}",
        "data.columns.age.cut_points.0: Input should be a valid number",
    ),
    "found is said": ("training.batch_size='many'", "found 'many'"),
    "fraction for a number of steps": ("training.local_steps=1.5", "training.local_steps: Input should be a valid int"),
    "out of range": ("training.learning_rate=0", "training.learning_rate: Input should be greater than 0; found 0"),
    "out of range above": ("federation.fraction=1.5", "federation.fraction: Input should be less than or equal to 1"),
    "both epochs and steps": (
        "training={local_epochs=1, local_steps=2}",
        "training: give local_epochs or local_steps, not both",
    ),
    "keep best with private": (
        "peft.private=['head.*']",
        "evaluation.keep = 'best' does not go with peft.private",
    ),
    "nothing to train on": (
        "evaluation={validation_fraction=0.5, test_fraction=0.5}",
        "evaluation: validation_fraction + test_fraction leave no rows to train on",
    ),
    "same label twice": ("task.labels=['a','a']", "task: labels must differ"),
    "one label": ("task.labels=['a']", "task.labels needs at least 2 labels, found 1"),
    "sites that differ by case": ("federation.sites=['A','a']", "federation: sites must differ"),
    "site with a path": ("federation.sites=['../a']", "federation.sites.0: expected 1 to 63 letters, digits"),
    "site column and partition": (
        "simulation.partition={name='iid', sites=2}",
        "simulation: give either site_column or partition",
    ),
    "unknown method": (
        "peft.method='lorra'",
        f"peft.method = 'lorra' does not exist; there are: {listed('common.peft_methods')}",
    ),
    "method as a path": ("peft.method='../lora'", "peft.method = '../lora' does not exist"),
    "unknown strategy": (
        "aggregation.name='fedavgg'",
        f"aggregation.name = 'fedavgg' does not exist; there are: {listed('server.aggregation')}",
    ),
    "unknown task": ("task.kind='x'", f"task.kind = 'x' does not exist; there are: {listed('common.tasks')}"),
    "unknown source": ("data.kind='sql'", f"data.kind = 'sql' does not exist; there are: {listed('client.data')}"),
    "unknown attack": (
        "simulation={data='x', site_column='h', attack={name='lie', sites=['a']}}",
        f"simulation.attack.name = 'lie' does not exist; there are: {listed('simulations.attacks')}",
    ),
    "attack without sites": (
        "simulation={data='x', site_column='h', attack={name='nan', sites=[]}}",
        "simulation.attack.sites: Tuple should have at least 1 item",
    ),
    "unknown option of an attack": (
        "simulation={data='x', site_column='h', attack={name='nan', sites=['a'], factor=2}}",
        "simulation.attack.name = 'nan' has no option 'factor'; it has: none",
    ),
    "unknown partition": (
        "simulation={data='x', partition={name='idd', sites=2}}",
        f"simulation.partition.name = 'idd' does not exist; there are: {listed('simulations.partitions')}",
    ),
    "unknown option of a method": ("peft.rnk=3", "peft.method = 'lora' has no option 'rnk'; it has: rank, alpha"),
    "option of another method": ("peft.virtual_tokens=3", "'lora' has no option 'virtual_tokens'"),
    "option out of range": ("peft.rank=0", "peft.method = 'lora', option rank: Input should be greater than or equal"),
    "option of a strategy": ("aggregation.mu=1", "aggregation.name = 'fedavg' has no option 'mu'"),
    "source of no kind": ("base_model.source='model'", "base_model.source: expected package:NAME/FOLDER, dir:PATH"),
    "digest of no kind": ("base_model.digest='abc'", "base_model.digest: expected sha256: and 64 hex"),
    "privacy that is not there": ("privacy.mechanism='dp'", "privacy.mechanism = 'dp' does not exist; there are: "),
    "seed below zero": ("seed=-1", "seed: Input should be greater than or equal to 0; found -1"),
}


@pytest.mark.parametrize("kind", SETTINGS)
def test_a_wrong_key_is_named_with_what_would_be_right(kind: str, study_file: Path) -> None:
    setting, message = SETTINGS[kind]
    with pytest.raises(StudyError) as found:
        read_study(study_file, overrides=["evaluation.keep='best'", setting] if "keep" in kind else [setting])
    text = str(found.value)
    assert text.startswith(f"{study_file}: ")
    assert message in text
    assert "\n" not in text
    assert "errors.pydantic.dev" not in text


def test_several_mistakes_are_counted(study_file: Path) -> None:
    with pytest.raises(StudyError, match=r"\(and 1 more\)$"):
        read_study(study_file, overrides=["seed=-1", "federation.rounds=0"])


def test_a_missing_key_is_named(study_file: Path) -> None:
    study_file.write_text('name = "x"\n[base_model]\nsource = "dir:x"')
    with pytest.raises(StudyError, match=r"mine\.toml: task: missing, and it has no default"):
        read_study(study_file)


OVERRIDES = {
    "training.learning_rate=0.5": ("training.learning_rate", 0.5),
    " training.learning_rate = 0.5 ": ("training.learning_rate", 0.5),
    "peft.method=prefix": ("peft.method", "prefix"),
    "peft.method='prefix'": ("peft.method", "prefix"),
    "task.labels=['b','a']": ("task.labels", ("b", "a")),
    "base_model.source=dir:a=b": ("base_model.source", "dir:a=b"),
    "evaluation.learning_rates.local=0.25": ("evaluation.learning_rates.local", 0.25),
    "description=two words": ("description", "two words"),
}


@pytest.mark.parametrize("text", OVERRIDES)
def test_an_override_replaces_one_key(text: str, study_file: Path) -> None:
    key, value = OVERRIDES[text]
    found: object = read_study(study_file, overrides=[text])
    for part in key.split("."):
        found = getattr(found, part)
    assert found == value


def test_the_last_override_wins(study_file: Path) -> None:
    assert read_study(study_file, overrides=["seed=1", "seed=2"]).seed == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("training.learning_rate", "expected key=value"),
        ("=3", "expected key=value"),
        ("name.first=x", "'name' is a value, not a section"),
        ("task.labels.first=x", "'labels' is a value, not a section"),
    ],
)
def test_an_override_of_another_form_is_explained(text: str, message: str, study_file: Path) -> None:
    with pytest.raises(StudyError, match=message) as found:
        read_study(study_file, overrides=[text])
    assert text in str(found.value)


def test_a_file_that_is_no_study_is_named(tmp_path: Path) -> None:
    (tmp_path / "broken.toml").write_text("name = ")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    for name, message in [
        ("absent.toml", "there is no study file"),
        (".", "is a folder, expected a study file"),
        ("broken.toml", "is not TOML: Invalid value"),
        ("binary.toml", "is not TOML"),
    ]:
        with pytest.raises(StudyError, match=message) as found:
            read_study(tmp_path / name)
        assert str(tmp_path / name) in str(found.value)
