"""What a hospital predicts with the exported adapter is what its trainer scored with it."""

import csv
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from client.data import Rows
from client.prediction import Predictions, predict, write_predictions
from client.site_rows import split_of
from client.trainer import Trainer
from common.adapter_folder import write_adapter
from common.errors import BundleError, DataError, ModelError
from common.protocol import Request
from common.state import Array
from simulations.builtin_rows.quick import rows as generated

Make = Callable[..., Trainer]
Ask = Callable[..., Request]
PRIVATE_HEAD = "peft.private=['head.*']"


@pytest.fixture
def east(tmp_path: Path) -> Path:
    """The inputs of site east as the hospital has them: no label, no id."""
    path = tmp_path / "east.csv"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, ["note", "age"], extrasaction="ignore")
        writer.writeheader()
        writer.writerows(row for row in generated() if row["site"] == "east")
    return path


def trained(trainer: Trainer, ask: Ask) -> Mapping[str, Array]:
    """One round, then the test rows scored with what came out; returns the shared tensors."""
    update = trainer.answer(ask(trainer.bundle)).update  # type: ignore[union-attr] # a reply
    shared = {name: trainer.bundle.initial[name] + update[name] for name in update}
    end, splits = trainer.bundle.study.federation.rounds + 1, ("validation", "test")
    trainer.answer(ask(trainer.bundle, kind="evaluate", round=end, shared=shared, splits=splits))
    return shared


@pytest.mark.parametrize("overrides", [(), ("peft={method='prefix', virtual_tokens=5}",), (PRIVATE_HEAD,)])
def test_predictions_are_the_trainer_s_own_scores(
    overrides: tuple[str, ...],
    make_trainer: Make,
    ask: Ask,
    site_rows: Mapping[str, Rows],
    east: Path,
    tiny_model: Path,
    tmp_path: Path,
) -> None:
    trainer = make_trainer(*overrides)
    shared = trained(trainer, ask)
    write_adapter(tmp_path / "adapter", trainer.bundle, shared, card="")
    private = trainer.store.private_after("run-1", 1, {})
    if private:
        safetensors.numpy.save_file(dict(private), tmp_path / "private.safetensors")
    found = predict(tmp_path / "adapter", east, base_folder=tiny_model, private=tmp_path if private else None)
    positions = split_of(site_rows["east"], trainer.bundle.study).test
    assert len(found.rows) == len(site_rows["east"])
    chances = np.array([found.column("probability_no"), found.column("probability_yes")], dtype=np.float64).T
    np.testing.assert_allclose(chances[positions], trainer.store.test_scores("run-1"), atol=1e-6)


def test_what_is_carried_beside_the_adapter_predicts_too(
    make_trainer: Make, ask_closing: Ask, site_rows: Mapping[str, Rows], east: Path, tiny_model: Path, tmp_path: Path
) -> None:
    trainer, rng = make_trainer("aggregation.name='sample-carries'"), np.random.default_rng(0)
    shared = dict(ask_closing(trainer.bundle).shared)
    for name in [n for n in shared if n.endswith("lora_A.weight")]:
        shared[f"carried.{name}"] = rng.normal(size=(3, 32)).astype(np.float32)
        shared[f"carried.{name.replace('lora_A', 'lora_B')}"] = rng.normal(size=(32, 3)).astype(np.float32)
    trainer.answer(ask_closing(trainer.bundle, shared=shared))
    write_adapter(tmp_path / "adapter", trainer.bundle, shared, card="")
    found = predict(tmp_path / "adapter", east, base_folder=tiny_model)
    positions = split_of(site_rows["east"], trainer.bundle.study).test
    chances = np.array([found.column("probability_no"), found.column("probability_yes")], dtype=np.float64).T
    np.testing.assert_allclose(chances[positions], trainer.store.test_scores("run-1"), atol=1e-6)
    plain = predict(exported(make_trainer, tmp_path / "plain"), east, base_folder=tiny_model)
    assert plain.column("probability_yes") != found.column("probability_yes")


def exported(make_trainer: Make, folder: Path, *overrides: str) -> Path:
    bundle = make_trainer(*overrides).bundle
    write_adapter(folder, bundle, {name: bundle.initial[name] for name in bundle.schema.shared.names}, card="")
    return folder


def test_a_changed_adapter_is_refused(make_trainer: Make, east: Path, tiny_model: Path, tmp_path: Path) -> None:
    folder = exported(make_trainer, tmp_path / "adapter")
    content = bytearray((folder / "adapter.safetensors").read_bytes())
    content[-2] ^= 1
    (folder / "adapter.safetensors").write_bytes(bytes(content))
    with pytest.raises(BundleError, match="it was changed"):
        predict(folder, east, base_folder=tiny_model)


def test_another_base_model_is_refused(make_trainer: Make, east: Path, tiny_model: Path, tmp_path: Path) -> None:
    folder = exported(make_trainer, tmp_path / "adapter")
    other = tmp_path / "model"
    other.mkdir()
    for path in tiny_model.iterdir():
        (other / path.name).write_bytes(path.read_bytes())
    (other / "config.json").write_text((tiny_model / "config.json").read_text() + " ")
    with pytest.raises(ModelError, match="the study expects sha256"):
        predict(folder, east, base_folder=other)


def test_a_missing_column_is_named(make_trainer: Make, tiny_model: Path, tmp_path: Path) -> None:
    folder = exported(make_trainer, tmp_path / "adapter")
    (tmp_path / "rows.csv").write_text("note\nfever\n")
    with pytest.raises(DataError, match="has no column 'age'"):
        predict(folder, tmp_path / "rows.csv", base_folder=tiny_model)


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (None, r"there is no private\.safetensors"),
        ({}, "does not fit the study: lacks 'head.bias'"),
        (
            {"head.bias": np.zeros(3, np.float32), "head.weight": np.zeros((2, 32), np.float32)},
            "does not fit the study",
        ),
    ],
)
def test_private_tensors_that_do_not_fit_are_refused(
    state: dict[str, Array] | None,
    message: str,
    make_trainer: Make,
    east: Path,
    tiny_model: Path,
    tmp_path: Path,
) -> None:
    folder = exported(make_trainer, tmp_path / "adapter", PRIVATE_HEAD)
    with pytest.raises(BundleError, match=r"keeps 2 tensors at each site .*name the folder .* with --private"):
        predict(folder, east, base_folder=tiny_model)
    if state is not None:
        safetensors.numpy.save_file(state, tmp_path / "private.safetensors")
    with pytest.raises(BundleError, match=message):
        predict(folder, east, base_folder=tiny_model, private=tmp_path)


def test_a_damaged_private_file_is_refused(make_trainer: Make, east: Path, tiny_model: Path, tmp_path: Path) -> None:
    folder = exported(make_trainer, tmp_path / "adapter", PRIVATE_HEAD)
    (tmp_path / "private.safetensors").write_bytes(b"\x80\x04.")
    with pytest.raises(BundleError, match=r"private\.safetensors does not fit"):
        predict(folder, east, base_folder=tiny_model, private=tmp_path)


def test_predictions_are_written_row_by_row(tmp_path: Path) -> None:
    chances = [("yes", 0.25, 0.75), ("no", 0.9, 0.1), ("yes", 1 / 3, 2 / 3)]
    rows = [{"prediction": word, "probability_no": no, "probability_yes": yes} for word, no, yes in chances]
    write_predictions(Predictions(rows), tmp_path / "deep" / "out.csv")
    assert (tmp_path / "deep" / "out.csv").read_text().splitlines() == [
        "row,prediction,probability_no,probability_yes",
        "1,yes,0.250000,0.750000",
        "2,no,0.900000,0.100000",
        "3,yes,0.333333,0.666667",
    ]


def test_a_private_folder_where_nothing_is_private_is_refused(
    make_trainer: Make, east: Path, tiny_model: Path, tmp_path: Path
) -> None:
    folder = exported(make_trainer, tmp_path / "adapter")
    with pytest.raises(BundleError, match="no tensor of this study is a site's own"):
        predict(folder, east, base_folder=tiny_model, private=tmp_path)
