"""A registry of versions: numbered, immutable, each usable whatever became of the others."""

import json
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from common.adapter_folder import read_adapter
from common.adapter_reference import adapter_folder, base_folder
from common.errors import UserError
from common.registry.reading import DamagedError
from common.registry.store import Registry

MakeRun = Callable[..., Path]


@pytest.fixture(scope="session")
def three(make_run: MakeRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A registry with quick@1 to @3, of which the third is promoted and the first was before; only to be copied."""
    place = tmp_path_factory.mktemp("three")
    registry = Registry(place / "registry")
    for seed in (1, 2, 3):
        registry.add(make_run(place / f"run-{seed}", seed, auroc=0.7 + seed / 100), parent=seed - 1 or None)
    registry.promote("quick", 1)
    registry.promote("quick", 3)
    return registry.path


@pytest.fixture
def registry(three: Path, tmp_path: Path) -> Registry:
    return Registry(Path(shutil.copytree(three, tmp_path / "registry")))


def files_of(path: Path) -> dict[str, bytes]:
    return {each.relative_to(path).as_posix(): each.read_bytes() for each in sorted(path.rglob("*")) if each.is_file()}


def test_a_run_becomes_a_version_with_its_facts(make_run: MakeRun, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", 5, auroc=0.8)
    made = Registry(tmp_path / "registry").add(run)
    (read,) = Registry(tmp_path / "registry").versions("quick")
    assert read == made
    assert (made.number, made.name, made.study, made.run, made.seed, made.parent) == (
        1,
        "quick",
        "quick",
        "run-5",
        5,
        None,
    )
    assert made.metrics is not None
    assert made.rounds is not None
    assert (made.metrics.pooled["auroc"].value, made.metrics.mean["auroc"].value) == (0.8, pytest.approx(0.81))
    assert made.metrics.validation["auroc"].value == pytest.approx(0.6)  # of the kept round, 2
    assert (made.rounds.played, made.rounds.kept) == (2, 2)
    assert made.privacy == {"mechanism": "patient-dp", "epsilon": 8.0}
    assert made.digests.adapter == read_adapter(run / "adapter").digests["adapter"]


def test_a_version_is_a_copy_that_needs_its_run_no_longer(make_run: MakeRun, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    before = files_of(run / "adapter")
    registry = Registry(tmp_path / "registry")
    registry.add(run)
    shutil.rmtree(run)
    adapter = registry.adapter("quick", 1)
    assert files_of(adapter) == before
    assert base_folder(adapter, None) == adapter.parent / "generated" / "tiny-bert"
    assert not (adapter.parent / "generated" / "quick.csv").exists()  # rows are nobody's version


def test_an_adapter_alone_has_no_metrics(make_run: MakeRun, tmp_path: Path) -> None:
    made = Registry(tmp_path / "registry").add(make_run(tmp_path / "run") / "adapter", name="mine")
    assert (made.name, made.run, made.metrics, made.rounds) == ("mine", None, None, None)


def test_versions_count_on(registry: Registry, make_run: MakeRun, tmp_path: Path) -> None:
    assert [each.number for each in registry.versions("quick")] == [1, 2, 3]
    assert [each.parent for each in registry.versions("quick")] == [None, 1, 2]
    registry.prune("quick", 1)
    assert registry.add(make_run(tmp_path / "run", 4)).number == 4


def test_adding_twice_says_which_version_it_is(registry: Registry, make_run: MakeRun, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", 2)
    with pytest.raises(UserError, match="is quick@2 already"):
        registry.add(run)
    assert registry.add(run, name="other").number == 1


def test_what_was_damaged_can_be_added_again(registry: Registry, make_run: MakeRun, tmp_path: Path) -> None:
    (registry.path / "quick/versions/0002/adapter/adapter.safetensors").write_bytes(b"")
    assert registry.add(make_run(tmp_path / "run", 2)).number == 4


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda run: shutil.rmtree(run), "nothing is there"),
        (lambda run: (run / "results.json").unlink(), "not finished, it has no results.json"),
        (lambda run: shutil.rmtree(run / "adapter"), "not finished, it has no adapter/"),
        (lambda run: [shutil.rmtree(run), run.mkdir()], "is not a run"),
        (lambda run: (run / "results.json").write_text("{"), "results.json is damaged"),
        (lambda run: (run / "results.json").write_text('{"format": 1}'), "results.json of the run is damaged"),
        (lambda run: (run / "adapter/adapter.safetensors").write_bytes(b"x"), "damaged"),
    ],
)
def test_what_cannot_be_added_is_said_and_changes_nothing(
    make_run: MakeRun, tmp_path: Path, spoil: Callable[[Path], object], said: str
) -> None:
    run = make_run(tmp_path / "run")
    spoil(run)
    with pytest.raises(UserError, match=said):
        Registry(tmp_path / "registry").add(run)
    assert not list((tmp_path / "registry").glob("*/versions/*"))


def test_results_of_another_adapter_are_refused(make_run: MakeRun, tmp_path: Path) -> None:
    run, other = make_run(tmp_path / "run", 1), make_run(tmp_path / "other", 2)
    shutil.copy(other / "results.json", run / "results.json")
    with pytest.raises(UserError, match=r"expected the adapter of this run"):
        Registry(tmp_path / "registry").add(run)


def test_a_parent_must_be_there(registry: Registry, make_run: MakeRun, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no quick@9"):
        registry.add(make_run(tmp_path / "run", 9), parent=9)


def test_promoting_and_going_back(registry: Registry) -> None:
    promoted = registry.promoted("quick")
    assert promoted is not None
    assert promoted.number == 3
    with pytest.raises(UserError, match="promoted version already"):
        registry.promote("quick", 3)
    registry.promote("quick", 2, reason="of more sites")
    assert registry.rollback("quick").number == 3
    assert registry.rollback("quick").number == 1
    with pytest.raises(UserError, match="no version of quick was promoted before"):
        registry.rollback("quick")
    said = [(each.event, each.version) for each in registry.events("quick")][-3:]
    assert said == [("promoted", 2), ("rolled back", 3), ("rolled back", 1)]
    assert registry.events("quick")[-3].reason == "of more sites"


def test_nothing_is_promoted_before_somebody_does(make_run: MakeRun, tmp_path: Path) -> None:
    registry = Registry(tmp_path / "registry")
    registry.add(make_run(tmp_path / "run"))
    assert registry.promoted("quick") is None
    with pytest.raises(UserError, match="no version of quick is promoted"):
        adapter_folder(registry.path / "quick")


def test_unknown_names_and_numbers_are_said(registry: Registry) -> None:
    with pytest.raises(UserError, match=r"there is no model 'heart'.* there are: quick"):
        registry.versions("heart")
    with pytest.raises(UserError, match=r"there is no quick@7.* versions are: 1, 2, 3"):
        registry.promote("quick", 7)
    with pytest.raises(UserError, match="expected a model's name"):
        registry.promote("../quick", 1)


def test_pruning_keeps_the_newest_the_promoted_and_the_way_back(registry: Registry) -> None:
    assert registry.prune("quick", 1) == [2]
    assert [each.number for each in registry.versions("quick")] == [1, 2, 3]
    assert sorted(path.name for path in (registry.path / "quick/versions/0002").iterdir()) == [
        "pruned.json", "version.json"
    ]  # fmt: skip
    with pytest.raises(UserError, match="gave up its files"):
        registry.promote("quick", 2)
    assert registry.problems("quick") == []
    assert registry.rollback("quick").number == 1
    assert registry.prune("quick", 1) == []


def test_going_back_passes_what_was_pruned(registry: Registry) -> None:
    registry.promote("quick", 2)
    registry.promote("quick", 1)
    registry.promote("quick", 3)  # before it, in order: 1, 3, 2, 1
    assert registry.prune("quick", 1) == [2]
    assert registry.rollback("quick").number == 1
    assert registry.rollback("quick").number == 3


def test_a_path_means_the_promoted_version_or_the_named_one(registry: Registry) -> None:
    home = registry.path / "quick"
    assert adapter_folder(home) == home / "versions/0003/adapter"
    assert adapter_folder(registry.path / "quick@1") == home / "versions/0001/adapter"
    with pytest.raises(UserError, match="expected NAME@N"):
        adapter_folder(registry.path / "quick@one")
    (home / "versions/0001/adapter/task.json").write_text("{}")
    with pytest.raises(DamagedError, match=r"quick@1: adapter/task.json is cut off or was changed"):
        adapter_folder(registry.path / "quick@1")
    assert adapter_folder(registry.path / "quick@2").is_dir()


FILES = [
    "current.json",
    "history.jsonl",
    *(f"versions/0002/{name}" for name in ("version.json", "results.json", "generated/tiny-bert/config.json")),
    *(f"versions/0002/adapter/{name}" for name in ("adapter.safetensors", "fedpeft.json", "task.json", "README.md")),
    *(f"versions/0002/adapter/{name}" for name in ("adapter_model.safetensors", "head.safetensors")),
]


@pytest.mark.parametrize("file", FILES)
@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_file_that_is_cut_off_is_one_line_and_costs_no_other_version(
    registry: Registry, file: str, data: st.DataObject
) -> None:
    path = registry.path / "quick" / file
    content = path.read_bytes()
    path.write_bytes(content[: data.draw(st.integers(0, len(content) - 2))])
    try:
        check_the_rest(registry, file, is_whole=path.read_bytes()[-1:] in (b"", b"\n", b"}"))
    finally:
        path.write_bytes(content)


def check_the_rest(registry: Registry, file: str, *, is_whole: bool) -> None:
    problems = [str(each) for each in registry.problems("quick")]
    of_version = file.startswith("versions/")
    if file == "history.jsonl":
        assert len(problems) == (0 if is_whole else 1)
    else:
        assert len(problems) == 1
        where = "quick@2" if of_version else "quick"
        assert problems[0].startswith(f"{where}: {file.removeprefix('versions/0002/')} ")
        assert "\n" not in problems[0]
    kept = [1, 3] if file.endswith("version.json") else [1, 2, 3]
    assert [each.number for each in registry.versions("quick")] == kept
    promoted = registry.promoted("quick")
    assert promoted is not None
    assert promoted.number == 3
    for number in (1, 3):
        read_adapter(registry.adapter("quick", number))
    if of_version:
        with pytest.raises(DamagedError, match="quick@2"):
            registry.adapter("quick", 2)


def test_a_lost_file_and_a_strange_one_are_named(registry: Registry) -> None:
    home = registry.path / "quick/versions/0001"
    (home / "results.json").unlink()
    (home / "adapter/notes.txt").write_text("mine")
    (home / "adapter/.DS_Store").write_text("")
    shutil.copy(registry.path / "quick/versions/0002/version.json", registry.path / "quick/versions/0003/version.json")
    assert [str(each) for each in registry.problems("quick")] == [
        "quick@1: results.json is missing",
        "quick@1: adapter/notes.txt is not one of this version's files",
        "quick@3: version.json is that of version 2",
    ]


def test_without_its_file_the_history_says_what_is_promoted(registry: Registry) -> None:
    (registry.path / "quick/current.json").unlink()
    assert registry.rollback("quick").number == 1
    assert json.loads((registry.path / "quick/current.json").read_text())["version"] == 1


def test_several_writers_wait_for_each_other(make_run: MakeRun, tmp_path: Path) -> None:
    runs = [make_run(tmp_path / f"run-{seed}", seed) for seed in range(6)]
    registry = Registry(tmp_path / "registry")
    with ThreadPoolExecutor(6) as pool:
        numbers = [each.number for each in pool.map(registry.add, runs)]
    assert sorted(numbers) == [1, 2, 3, 4, 5, 6]
    assert [each.number for each in registry.versions("quick")] == [1, 2, 3, 4, 5, 6]
    assert registry.problems("quick") == []
    assert len(registry.events("quick")) == 6


def test_a_further_phase_has_the_version_that_it_began_with_as_its_parent(
    registry: Registry, make_run: MakeRun, tmp_path: Path
) -> None:
    run = make_run(tmp_path / "phase", 9)
    content = json.loads((run / "results.json").read_text())
    began = registry.version("quick", 2).digests.adapter
    (run / "results.json").write_text(
        json.dumps({**content, "continual": {"earlier": {"digests": {"adapter": began}}}})
    )
    assert registry.add(run).parent == 2


def test_a_file_is_no_registry(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="is a file, expected a registry's folder"):
        Registry(tmp_path / "file").names()
    assert Registry(tmp_path / "none yet").names() == []
