import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from common import plugins
from common.errors import StudyError

PACKAGE = "common.peft_methods"


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A researcher's own folder; the modules that a test makes of it are forgotten again."""
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if name.startswith(PACKAGE):
            del sys.modules[name]


def test_the_files_of_a_folder_are_its_plugins() -> None:
    names = plugins.available(PACKAGE)
    assert names == sorted(names)
    assert {"lora", "prefix"} <= set(names)
    assert not [name for name in names if name.startswith(("_", "-"))]


def test_hyphens_stand_for_underscores() -> None:
    assert plugins.load("common.tasks", "sequence-classification", key="task.kind") is plugins.load(
        "common.tasks", "sequence_classification", key="task.kind"
    )


@pytest.mark.parametrize("name", ["lorra", "", "..lora", "lora.py", "../tasks/lora", "__init__"])
def test_an_unknown_name_is_answered_with_those_that_exist(name: str) -> None:
    with pytest.raises(StudyError, match=r"peft\.method = .* does not exist; there are: .*lora.*prefix"):
        plugins.load(PACKAGE, name, key="peft.method")


def test_what_plugins_share_is_no_plugin_even_when_it_is_loaded() -> None:
    plugins.load(PACKAGE, "lora", key="peft.method")
    assert f"{PACKAGE}._peft" in sys.modules
    with pytest.raises(StudyError, match="does not exist"):
        plugins.build(PACKAGE, "_peft", {}, key="peft.method")


def test_options_are_typed_and_checked() -> None:
    method = plugins.build(PACKAGE, "lora", {"rank": 3, "targets": ["key"]}, key="peft.method")
    assert (method.rank, method.targets) == (3, ("key",))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rnak": 4}, r"'lora' has no option 'rnak'; it has: rank, alpha, dropout, targets"),
        ({"rank": 0}, r"option rank: .*greater than or equal to 1 \(found 0\)"),
        ({"rank": "eight"}, r"option rank: .*integer.* \(found 'eight'\)"),
        ({"dropout": 1.0}, r"option dropout: .*less than 1"),
    ],
)
def test_a_wrong_option_is_named(options: dict[str, object], message: str) -> None:
    with pytest.raises(StudyError, match=message):
        plugins.build(PACKAGE, "lora", options, key="peft.method")


OWN = """
from dataclasses import dataclass

@dataclass(frozen=True)
class Own:
    strength: float = 1.0

build = Own
"""


def test_a_researcher_s_own_file_is_a_plugin(folder: Path) -> None:
    (folder / "my_own.py").write_text(OWN)
    (folder / "_shared.py").write_text("raise RuntimeError('not a plugin')")
    plugins.register_folder(PACKAGE, folder)
    assert plugins.build(PACKAGE, "my-own", {"strength": 2}, key="peft.method").strength == 2.0
    with pytest.raises(StudyError, match="no option 'weakness'; it has: strength"):
        plugins.build(PACKAGE, "my-own", {"weakness": 1}, key="peft.method")


def test_an_own_file_cannot_replace_a_shipped_one(folder: Path) -> None:
    (folder / "lora.py").write_text(OWN)
    with pytest.raises(StudyError, match=r"lora\.py has the name of a plugin that fedpeft ships"):
        plugins.register_folder(PACKAGE, folder)


def test_a_folder_that_is_none_is_refused(folder: Path) -> None:
    with pytest.raises(StudyError, match="is not a folder"):
        plugins.register_folder(PACKAGE, folder / "absent")
