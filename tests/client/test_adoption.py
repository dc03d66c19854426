"""A real site takes a global adapter over, or not: its own rows decide, and nothing of it leaves."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from client.adoption import _take_over, adopt, in_use, roll_back
from client.prediction import predict
from client.rows import read_rows
from client.sealing import Seal, read_storage_key
from client.settings import read_settings
from client.site_rows import split_of
from client.store import SiteStore
from common.adapter_folder import read_adapter, write_adapter
from common.errors import DataError, UserError
from common.metrics.classes import ClassMeasure
from common.protocol import Reply, Request
from common.registry.store import Registry
from common.state import Array
from common.tensor_files import to_safetensors

Make = Callable[..., Any]
State = dict[str, Array]


def random_state(site: Any, seed: int) -> State:
    rng = np.random.default_rng(seed)
    return {t.name: rng.normal(size=t.shape).astype(np.float32) for t in site.bundle.schema.shared.tensors}


def turned(state: State) -> State:
    """Return the adapter whose every answer is the other one: its AUROC is 1 less that of `state`."""
    return {name: -array if name.startswith("head.") else array for name, array in state.items()}


def auroc_by_prediction(site: Any, adapter: Path, private: Path | None = None) -> float:
    """The oracle: the probabilities of `fedpeft predict`, and scikit-learn's AUROC of the validation rows."""
    study, path = site.bundle.study, read_settings(site.folder).rows
    rows = read_rows(path, study)
    chosen = split_of(rows, study).validation
    found = np.array(
        predict(adapter, path, base_folder=site.base_model, private=private).column("probability_yes"), dtype=float
    )
    return float(roc_auc_score(rows.labels[chosen], found[chosen]))


def export(site: Any, folder: Path, state: State) -> Path:
    write_adapter(folder, site.bundle, state, card="")
    return folder


def kept_head(site: Any, folder: Path, *, after_round: int) -> Path:
    """Write the head that a round of training left at the site, where `fedpeft predict --private` reads it."""
    seal, state = Seal(read_storage_key(site.folder.storage_key)), site.folder.study_state(site.bundle.digest)
    head = SiteStore(state, measure=ClassMeasure(2), seal=seal).private_after("run-1", after_round, {})
    folder.mkdir()
    (folder / "private.safetensors").write_bytes(to_safetensors(head))
    return folder


@pytest.fixture
def site(make_site: Make) -> Any:
    return make_site("evaluation.validation_fraction=0.4")


@pytest.fixture
def better_and_worse(site: Any, tmp_path: Path) -> tuple[Path, Path]:
    """Two adapters of which the first ranks the validation rows better, by more than the bound."""
    state = random_state(site, 3)
    one, other = export(site, tmp_path / "one", state), export(site, tmp_path / "other", turned(state))
    value = auroc_by_prediction(site, one)
    assert abs(value - 0.5) > 0.02
    return (one, other) if value > 0.5 else (other, one)


def test_the_worse_one_is_not_used_and_the_better_one_is(site: Any, better_and_worse: tuple[Path, Path]) -> None:
    better, worse = better_and_worse
    first = adopt(site.folder, worse)
    assert first.verdict.is_accepted
    assert (first.against, first.in_use) == (None, "quick@1")
    second = adopt(site.folder, better)
    assert second.verdict.is_accepted
    assert (second.against, second.in_use) == ("quick@1", "quick@2")
    third = adopt(site.folder, worse)
    assert not third.verdict.is_accepted
    assert (third.against, third.in_use) == ("quick@2", "quick@2")
    compared = third.verdict.compared
    assert compared is not None
    assert compared.candidate.value == pytest.approx(auroc_by_prediction(site, worse))
    assert compared.current.value == pytest.approx(auroc_by_prediction(site, better))

    registry = Registry(site.folder.adapters)
    events = registry.events("quick")
    kinds = ["added", "promoted", "added", "promoted", "not used"]
    assert [each.event for each in events] == kinds
    assert third.verdict.why in events[-1].reason
    assert registry.problems("quick") == []
    assert not site.folder.journal.exists()  # nothing left the site, and nothing says that it did
    assert site.folder.adapters.stat().st_mode & 0o077 == 0


def test_a_site_goes_back_and_comes_again_without_a_copy(site: Any, better_and_worse: tuple[Path, Path]) -> None:
    better, worse = better_and_worse
    adopt(site.folder, worse)
    adopt(site.folder, better)
    assert roll_back(site.folder, None).number == 1
    with pytest.raises(UserError, match=r"quick@1, which is in use already"):
        adopt(site.folder, worse)
    assert adopt(site.folder, better).in_use == "quick@2"
    assert len(Registry(site.folder.adapters).versions("quick")) == 2


def test_the_policy_says_how_much_may_be_lost_unless_told(site: Any, better_and_worse: tuple[Path, Path]) -> None:
    better, worse = better_and_worse
    adopt(site.folder, better)
    assert not adopt(site.folder, worse).verdict.is_accepted
    site.set_policy(adopt_max_loss=1.0)
    assert not adopt(site.folder, worse, max_loss=0.0).verdict.is_accepted
    assert adopt(site.folder, worse).verdict.is_accepted


def test_where_none_is_in_use_the_first_state_can_be_the_rival(site: Any, better_and_worse: tuple[Path, Path]) -> None:
    better, _ = better_and_worse
    with pytest.raises(UserError, match="is not approved here"):
        adopt(site.folder, better, against_initial=True)
    site.approve()
    found = adopt(site.folder, better, against_initial=True)
    assert found.against == "the initial adapter"
    assert found.verdict.compared is not None


def test_a_damaged_version_in_use_is_said_and_is_no_rival(site: Any, better_and_worse: tuple[Path, Path]) -> None:
    better, worse = better_and_worse
    adopt(site.folder, better)
    (site.folder.adapters / "quick/versions/0001/adapter/adapter.safetensors").write_bytes(b"")
    assert in_use(Registry(site.folder.adapters), "quick")[0] is None
    found = adopt(site.folder, worse)
    assert found.verdict.is_accepted
    assert "quick@1: adapter/adapter.safetensors is cut off" in found.verdict.why
    assert found.in_use == "quick@2"


def test_another_task_of_the_same_name_is_refused(
    site: Any, better_and_worse: tuple[Path, Path], tmp_path: Path
) -> None:
    adopt(site.folder, better_and_worse[0])
    other = site.sign(tmp_path / "other-bundle", "task.labels=['yes', 'no']")
    write_adapter(tmp_path / "turned", other, random_state(site, 1), card="")
    with pytest.raises(DataError, match=r"task.labels"):
        adopt(site.folder, tmp_path / "turned")


def test_only_rows_that_both_held_out_are_compared(
    site: Any, better_and_worse: tuple[Path, Path], tmp_path: Path
) -> None:
    other = site.sign(tmp_path / "other-bundle", "evaluation.validation_fraction=0.15")
    write_adapter(tmp_path / "less", other, random_state(site, 1), card="")
    rows = read_rows(read_settings(site.folder).rows, other.study)
    few, many = (len(split_of(rows, each).validation) for each in (other.study, site.bundle.study))
    assert few < many
    found = [adopt(site.folder, place, max_loss=1.0) for place in (tmp_path / "less", better_and_worse[0])]
    assert [each.verdict.rows for each in found] == [few, few]
    assert adopt(site.folder, better_and_worse[1], max_loss=1.0).verdict.rows == many


def test_the_base_model_must_be_here(site: Any, better_and_worse: tuple[Path, Path]) -> None:
    settings = site.folder.settings
    settings.write_text(settings.read_text().replace(f'"{site.base_model}"', ""))
    with pytest.raises(UserError, match=r"no base model of site.toml is the study's"):
        adopt(site.folder, better_and_worse[0])


def test_a_site_s_own_tensors_go_with_the_version(make_site: Make, ask: Callable[..., Request], tmp_path: Path) -> None:
    """The head stays here. What is scored, and kept with each version, is the head that training left by then."""
    site = make_site("peft.private=['head.*']", "evaluation.validation_fraction=0.4")
    adapter = export(site, tmp_path / "one", random_state(site, 1))
    with pytest.raises(UserError, match="keeps 2 tensors at each site, and this site has none"):
        adopt(site.folder, adapter)
    site.approve()
    hospital = site.hospital()
    assert isinstance(site.sent(hospital, ask(site.bundle)), Reply)
    adopt(site.folder, adapter)
    assert isinstance(site.sent(hospital, ask(site.bundle, round=2)), Reply)
    two = export(site, tmp_path / "two", random_state(site, 2))
    found = adopt(site.folder, two, max_loss=1.0)
    assert found.verdict.compared is not None
    for number, place, value in ((1, adapter, "current"), (2, two, "candidate")):
        heads = kept_head(site, tmp_path / f"head-{number}", after_round=number)
        assert getattr(found.verdict.compared, value).value == pytest.approx(auroc_by_prediction(site, place, heads))
    sealed = sorted((site.folder.adapters / "quick/private").iterdir())
    assert [path.name for path in sealed] == ["0001.sealed", "0002.sealed"]
    assert all(path.stat().st_mode & 0o077 == 0 for path in sealed)
    assert Registry(site.folder.adapters).problems("quick") == []

    sealed[0].write_bytes(sealed[1].read_bytes())  # one version's file in another's place
    roll_back(site.folder, "quick")
    with pytest.raises(UserError, match=r"0001.sealed cannot be opened"):
        adopt(site.folder, export(site, tmp_path / "three", random_state(site, 3)))


def test_what_went_wrong_names_no_patient_and_no_value(site: Any, better_and_worse: tuple[Path, Path]) -> None:
    found = adopt(site.folder, better_and_worse[0])
    rows = read_rows(read_settings(site.folder).rows, site.bundle.study)
    history = (site.folder.adapters / "quick/history.jsonl").read_text()
    assert not any(patient in history or patient in found.verdict.why for patient in set(rows.patients))


def test_several_studies_need_a_name_to_go_back(site: Any, better_and_worse: tuple[Path, Path]) -> None:
    with pytest.raises(UserError, match="this site has adapters of no study"):
        roll_back(site.folder, None)
    adopt(site.folder, better_and_worse[0])
    with pytest.raises(UserError, match="no version of quick was promoted before"):
        roll_back(site.folder, None)


def test_an_adapter_that_was_exchanged_after_it_was_judged_is_not_used(
    site: Any, better_and_worse: tuple[Path, Path]
) -> None:
    judged, exchanged = better_and_worse
    registry = Registry(site.folder.adapters)
    with pytest.raises(UserError, match="was changed while it was looked at"):
        _take_over(site.folder, registry, exchanged, read_adapter(judged), {}, "why")
    assert in_use(registry, "quick") == (None, "")
