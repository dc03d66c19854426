"""A site as its settings open it: the base model by its digest, the rows of the file, and no study of others."""

from collections.abc import Callable
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest

from client.gate import Gate
from client.journal import Journal
from client.ledger import open_ledger
from client.policy import Policy
from client.settings import SiteSettings, read_settings
from client.site import check_member, find_base_model, open_trainer
from client.store import SiteStore
from client.trainer import Trainer
from common.errors import DataError, ModelError, UserError
from common.metrics.classes import ClassMeasure


def opened(real: Any, **changes: Any) -> Trainer:
    settings = read_settings(real.folder).model_copy(update=changes)
    store = SiteStore(real.folder.state, measure=ClassMeasure(2), durable=False)
    gate = Gate(settings.site, Policy(), real.bundle.schema, Journal(real.folder.journal, durable=False))
    check_member(settings.site, real.bundle.study)
    base, ledger = find_base_model(settings, real.bundle.study), open_ledger(real.folder)
    return open_trainer(settings, real.bundle, base, store=store, gate=gate, ledger=ledger)


def test_rows_and_execution_are_those_of_the_settings(make_site: Callable[..., Any]) -> None:
    site = make_site()
    trainer = opened(site, threads=2)
    assert (trainer.name, trainer.execution.threads, trainer.execution.device) == ("east", 2, "cpu")
    assert len(trainer.rows.train) + len(trainer.rows.validation) + len(trainer.rows.test) == rows_of(site)


def rows_of(site: Any) -> int:
    return len((site.folder.path.parent / "rows.csv").read_text().splitlines()) - 1


def test_a_site_that_the_study_does_not_know_is_refused(make_site: Callable[..., Any]) -> None:
    with pytest.raises(UserError, match=r"south.*east, north, west"):
        opened(make_site(), site="south")


def test_the_base_model_is_chosen_by_its_digest(make_site: Callable[..., Any], tmp_path: Path) -> None:
    site = make_site()
    other = Path(copytree(site.base_model, tmp_path / "other"))
    (other / "config.json").write_text((other / "config.json").read_text() + "\n")
    both = read_settings(site.folder).model_copy(update={"base_models": (other, site.base_model)})
    assert find_base_model(both, site.bundle.study) == site.base_model
    with pytest.raises(ModelError, match=f"{site.bundle.study.base_model.digest}.*'other' with sha256:.*base_models"):
        opened(site, base_models=(other,))
    with pytest.raises(ModelError, match="there is none"):
        opened(site, base_models=())
    with pytest.raises(ModelError, match="not a folder"):
        opened(site, base_models=(tmp_path / "nowhere",))


def test_rows_that_are_not_the_study_s_are_refused(make_site: Callable[..., Any], tmp_path: Path) -> None:
    site = make_site()
    (tmp_path / "bad.csv").write_text("age,note\n1,well\n")
    with pytest.raises(DataError, match="no column"):
        opened(site, data=tmp_path / "bad.csv")
    with pytest.raises(UserError, match="names no rows"):
        opened(site, data=None)


def test_settings_are_comparable(make_site: Callable[..., Any]) -> None:
    """The trainer opens a study anew where they changed."""
    site = make_site()
    first: SiteSettings = read_settings(site.folder)
    assert first == read_settings(site.folder)
    assert first != first.model_copy(update={"threads": 2})
