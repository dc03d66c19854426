"""An exported adapter is what was written, or a BundleError that says what it is not."""

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from common.adapter_folder import is_peft_directory, read_adapter, write_adapter
from common.bundle import Bundle
from common.errors import BundleError, SchemaError
from common.state import Array, digest_state
from common.study import replaced


def shared_of(bundle: Bundle) -> dict[str, Array]:
    rng = np.random.default_rng(0)
    return {t.name: rng.normal(size=t.shape).astype(np.float32) for t in bundle.schema.shared.tensors}


@pytest.fixture
def folder(make_bundle: Callable[..., Bundle], tmp_path: Path) -> Path:
    bundle = make_bundle()
    write_adapter(tmp_path / "adapter", bundle, shared_of(bundle), card="# Card")
    return tmp_path / "adapter"


def test_an_adapter_reads_as_it_was_written(folder: Path, make_bundle: Callable[..., Bundle]) -> None:
    bundle = make_bundle()
    found = read_adapter(folder)
    assert (found.study.digest, found.schema) == (bundle.study.digest, bundle.schema)
    assert digest_state(found.shared) == digest_state(shared_of(bundle)) == found.digests["adapter"]
    assert found.digests["base_model"] == bundle.study.base_model.digest
    assert found.digests["bundle"] == bundle.digest
    assert (folder / "README.md").read_text() == "# Card"


def test_head_and_peft_s_tensors_are_the_adapter_s(folder: Path, make_bundle: Callable[..., Bundle]) -> None:
    bundle = make_bundle()
    shared = shared_of(bundle)
    head = safetensors.numpy.load_file(folder / "head.safetensors")
    peft = safetensors.numpy.load_file(folder / "adapter_model.safetensors")
    assert digest_state(head) == digest_state({n: shared[n] for n in ("head.weight", "head.bias")})
    assert bundle.peft_names is not None
    assert digest_state(peft) == digest_state({theirs: shared[ours] for ours, theirs in bundle.peft_names.items()})
    assert json.loads((folder / "task.json").read_text())["labels"] == ["no", "yes"]


def test_what_a_site_keeps_is_not_exported(make_bundle: Callable[..., Bundle], tmp_path: Path) -> None:
    bundle = make_bundle("peft.private=['head.*', '*.lora_B.*']")
    write_adapter(tmp_path, bundle, shared_of(bundle), card="")
    assert not is_peft_directory(bundle)
    assert {path.name for path in tmp_path.iterdir()} == {
        "README.md", "adapter.safetensors", "fedpeft.json", "task.json"
    }  # fmt: skip
    assert set(read_adapter(tmp_path).shared) == set(bundle.schema.shared.names)
    with pytest.raises(SchemaError, match="does not name"):
        write_adapter(tmp_path, bundle, bundle.initial, card="")


def test_a_private_head_leaves_a_peft_directory(make_bundle: Callable[..., Bundle], tmp_path: Path) -> None:
    bundle = make_bundle("peft.private=['head.*']")
    write_adapter(tmp_path, bundle, shared_of(bundle), card="")
    assert is_peft_directory(bundle)
    assert (tmp_path / "adapter_config.json").exists()
    assert not (tmp_path / "head.safetensors").exists()


def rewrite(folder: Path, change: Callable[[dict[str, object]], object]) -> None:
    facts = json.loads((folder / "fedpeft.json").read_text())
    (folder / "fedpeft.json").write_text(json.dumps(change(facts)))


def without(name: str) -> Callable[[dict[str, object]], object]:
    return lambda facts: {key: value for key, value in facts.items() if key != name}


@pytest.mark.parametrize(
    "change",
    [
        without("study"),
        without("schema"),
        without("digests"),
        lambda facts: [],
        lambda facts: None,
        lambda facts: {**facts, "study": {}},
        lambda facts: {**facts, "schema": [1]},
        lambda facts: {**facts, "schema": []},
        lambda facts: {**facts, "digests": {}},
        lambda facts: {**facts, "digests": []},
    ],
)
def test_other_facts_are_a_damaged_adapter(change: Callable[[dict[str, object]], object], folder: Path) -> None:
    rewrite(folder, change)
    with pytest.raises(BundleError, match="is damaged"):
        read_adapter(folder)


@pytest.mark.parametrize("name", ["fedpeft.json", "adapter.safetensors"])
def test_a_missing_or_cut_file_is_said(name: str, folder: Path) -> None:
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(BundleError, match="is damaged"):
        read_adapter(folder)
    (folder / name).unlink()
    with pytest.raises(BundleError, match="is not an adapter of fedpeft"):
        read_adapter(folder)


def test_something_else_in_place_of_an_adapter_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for path in (tmp_path / "absent", tmp_path / "file", tmp_path):
        with pytest.raises(BundleError, match=r"is not an adapter of fedpeft: it lacks fedpeft\.json"):
            read_adapter(path)


def test_a_pipe_in_place_of_a_file_is_not_waited_for(folder: Path) -> None:
    (folder / "fedpeft.json").unlink()
    os.mkfifo(folder / "fedpeft.json")
    with pytest.raises(BundleError, match=r"lacks fedpeft\.json"):
        read_adapter(folder)


def test_one_changed_bit_is_noticed(folder: Path) -> None:
    path = folder / "adapter.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 0x80  # the sign of the last number
    path.write_bytes(bytes(content))
    with pytest.raises(BundleError, match="it was changed"):
        read_adapter(folder)


def test_a_tensor_of_another_shape_is_damage(folder: Path) -> None:
    shared = safetensors.numpy.load_file(folder / "adapter.safetensors")
    safetensors.numpy.save_file({**shared, "head.bias": np.zeros(3, np.float32)}, folder / "adapter.safetensors")
    with pytest.raises(BundleError, match=r"is damaged \(SchemaError\)"):
        read_adapter(folder)


def test_an_adapter_says_nothing_of_where_rows_and_models_lie(
    make_bundle: Callable[..., Bundle], tmp_path: Path
) -> None:
    bundle = make_bundle()
    placed = replaced(bundle.study, {"base_model.source": "dir:/wards/7/model", "simulation.data": "/wards/7/rows.csv"})
    shared = {name: bundle.initial[name] for name in bundle.schema.shared.names}

    write_adapter(tmp_path / "adapter", replace(bundle, study=placed), shared, card="")

    assert "wards" not in (tmp_path / "adapter" / "fedpeft.json").read_text()
    assert read_adapter(tmp_path / "adapter").study.digest == placed.digest
