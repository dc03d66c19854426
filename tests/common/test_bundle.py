"""A bundle is what was written, or a BundleError that says which file is not."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from common.bundle import FILES, MAX_TENSOR_BYTES, Bundle, read_bundle, write_bundle
from common.errors import BundleError
from common.files import digest_bytes
from common.study import Study, replaced


@pytest.fixture
def write(make_bundle: Callable[..., Bundle], tmp_path: Path) -> Callable[..., Bundle]:
    """`write(name, **changes)`: the bundle of `quick` with other parts, in a folder of the test's."""
    good = make_bundle()

    def write_to(name: str, **changes: object) -> Bundle:
        parts = {part: getattr(good, part) for part in good.__dataclass_fields__ if part != "digest"}
        return write_bundle(tmp_path / name, **{**parts, **changes})

    return write_to


def test_a_bundle_reads_as_it_was_written(write: Callable[..., Bundle], make_bundle: Callable[..., Bundle]) -> None:
    good, again = make_bundle(), write("again")
    assert (again.study, again.schema, again.base_model) == (good.study, good.schema, good.base_model)
    assert (again.adapter_config, again.peft_names) == (good.adapter_config, good.peft_names)
    assert again.digest == good.digest
    assert all(again.initial[name].tobytes() == good.initial[name].tobytes() for name in good.schema.names)
    again.schema.check(again.initial)


def test_a_method_that_peft_does_not_know_has_nulls(write: Callable[..., Bundle]) -> None:
    bundle = write("own", adapter_config=None, peft_names=None)
    assert (bundle.adapter_config, bundle.peft_names) == (None, None)


@pytest.mark.parametrize("name", FILES)
def test_a_changed_or_missing_file_is_named(name: str, write: Callable[..., Bundle], tmp_path: Path) -> None:
    write("b")
    path = tmp_path / "b" / name
    content = path.read_bytes()
    for changed in (content + b" ", content[:-2], bytes([content[0] ^ 1]) + content[1:], b""):
        path.write_bytes(changed)
        with pytest.raises(BundleError, match=rf"{name} has digest sha256:\w+, bundle\.json says sha256:\w+"):
            read_bundle(tmp_path / "b")
    path.unlink()
    with pytest.raises(BundleError, match=f"lacks {name}"):
        read_bundle(tmp_path / "b")


def test_a_folder_without_bundle_is_said_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"fedpeft study prepare"):
        read_bundle(tmp_path / "absent")
    with pytest.raises(BundleError, match=r"lacks bundle\.json"):
        read_bundle(tmp_path)


HEADS = {
    "another format": (lambda head: {**head, "format": 2}, r"has format 2, this fedpeft reads 1"),
    "no format": (lambda head: {}, "has format None"),
    "a list": (lambda head: [head], "has format None"),
    "no study": (lambda head: {k: v for k, v in head.items() if k != "study"}, "does not list exactly"),
    "no files": (lambda head: {k: v for k, v in head.items() if k != "files"}, "does not list exactly"),
    "files a list": (lambda head: {**head, "files": list(FILES)}, "does not list exactly"),
    "a file less": (lambda head: {**head, "files": {"study.json": ""}}, "does not list exactly"),
    "a file outside": (lambda head: {**head, "files": {**head["files"], "../x": ""}}, "does not list exactly"),
    "another study": (lambda head: {**head, "study": "sha256:0"}, "another version of fedpeft"),
    "another schema": (lambda head: {**head, "schema": "sha256:0"}, "another version of fedpeft"),
}


@pytest.mark.parametrize("kind", HEADS)
def test_another_bundle_json_is_refused(kind: str, write: Callable[..., Bundle], tmp_path: Path) -> None:
    write("b")
    change, message = HEADS[kind]
    path = tmp_path / "b" / "bundle.json"
    path.write_text(json.dumps(change(json.loads(path.read_text()))))
    with pytest.raises(BundleError, match=message) as error:
        read_bundle(tmp_path / "b")
    assert "\n" not in str(error.value)


def test_bundle_json_that_is_no_json_is_named(write: Callable[..., Bundle], tmp_path: Path) -> None:
    write("b")
    (tmp_path / "b" / "bundle.json").write_bytes(b'{"format": 1')
    with pytest.raises(BundleError, match=r"bundle\.json is not JSON"):
        read_bundle(tmp_path / "b")


def signed(folder: Path, name: str, content: bytes) -> None:
    """Change a file and its digest too, as another program would."""
    (folder / name).write_bytes(content)
    head = json.loads((folder / "bundle.json").read_text())
    head["files"][name] = digest_bytes(content)
    (folder / "bundle.json").write_text(json.dumps(head))


JSON_FILES = [name for name in FILES if name.endswith(".json")]


def claiming(numbers: int) -> bytes:
    """A safetensors file of some bytes that says it holds so many numbers."""
    head = json.dumps({"a": {"dtype": "F32", "shape": [numbers], "data_offsets": [0, 4 * numbers]}}).encode()
    return len(head).to_bytes(8, "little") + head + bytes(4)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("study.json", b"{}"),
        ("schema.json", b'[{"name": "a"}]'),
        ("schema.json", b"3"),
        ("initial.safetensors", b"\x80\x04."),
        ("base_model.json", b'{"files": {}}'),
        ("base_model.json", b"[]"),
        ("study.json", b"\xff"),
        *[(name, b"[" * 100_000) for name in JSON_FILES],
        ("study.json", b'{"seed": ' + b"9" * 5000 + b"}"),
        ("base_model.json", b'{"files": {}, "parameters": "many", "size_bytes": 1}'),
        ("base_model.json", b'{"files": 3, "parameters": 1, "size_bytes": 1}'),
        ("names.json", b"[3]"),
        ("adapter_config.json", b'"text"'),
        ("schema.json", b'[{"name": "a", "shape": "xy", "dtype": "float32", "group": "shared"}]'),
        ("schema.json", b'[{"name": "a", "shape": [1], "dtype": "object", "group": "other"}]'),
        ("initial.safetensors", (2**62).to_bytes(8, "little") + b"{}"),
        ("initial.safetensors", claiming(10**12)),
    ],
)
def test_a_signed_file_of_another_kind_is_a_bundle_error(
    name: str, content: bytes, write: Callable[..., Bundle], tmp_path: Path
) -> None:
    write("b")
    signed(tmp_path / "b", name, content)
    with pytest.raises(BundleError, match="prepare it again"):
        read_bundle(tmp_path / "b")


@pytest.mark.parametrize("name", [*FILES, "bundle.json"])
@pytest.mark.parametrize("kind", ["pipe", "device", "link", "huge"])
def test_what_is_no_file_of_a_bundle_s_size_is_not_read(
    name: str, kind: str, write: Callable[..., Bundle], tmp_path: Path
) -> None:
    """A pipe would be waited for, /dev/zero read without end; a link leads to a file that was not handed over."""
    write("b")
    path = tmp_path / "b" / name
    content = path.read_bytes()
    path.unlink()
    (tmp_path / "content").write_bytes(content)
    make: dict[str, Callable[[], object]] = {
        "pipe": lambda: os.mkfifo(path),
        "device": lambda: path.symlink_to("/dev/zero"),
        "link": lambda: path.symlink_to(tmp_path / "content"),
        "huge": lambda: path.touch() or os.truncate(path, MAX_TENSOR_BYTES + 1),
    }
    make[kind]()
    with pytest.raises(BundleError, match=f"lacks {name}|{name} is no file of at most"):
        read_bundle(tmp_path / "b")


def test_initial_tensors_that_are_not_the_schema_s_are_refused(
    write: Callable[..., Bundle], make_bundle: Callable[..., Bundle]
) -> None:
    initial = dict(make_bundle().initial)
    first = next(iter(initial))
    for changed in ({first: initial[first]}, {**initial, first: initial[first] * np.float32(np.nan)}):
        with pytest.raises(BundleError, match="holds something unexpected"):
            write("wrong" + str(len(changed)), initial=changed)


def test_the_digest_does_not_say_where_things_lie(write: Callable[..., Bundle]) -> None:
    good = write("good")
    moved = replaced(good.study, {"base_model.source": "dir:/elsewhere", "simulation.data": "/elsewhere.csv"})
    assert write("moved", study=moved).digest == good.digest
    assert write("real", study=moved.model_copy(update={"simulation": None})).digest == good.digest


CHANGES = {
    "seed": 5,
    "task.max_length": 40,
    "data.patient_id": None,
    "training.learning_rate": 0.5,
    "federation.rounds": 9,
    "aggregation.weighting": "uniform",
    "evaluation.split_seed": 3,
}


@pytest.mark.parametrize("key", CHANGES)
def test_the_digest_says_what_was_agreed(key: str, write: Callable[..., Bundle]) -> None:
    good = write("good")
    assert write("other", study=replaced(good.study, {key: CHANGES[key]})).digest != good.digest


def test_the_digest_says_what_the_adapter_starts_from(write: Callable[..., Bundle]) -> None:
    good = write("good")
    name = good.schema.names[0]
    initial = {**good.initial, name: good.initial[name] + np.float32(1)}
    others = [
        write("initial", initial=initial),
        write("config", adapter_config={**(good.adapter_config or {}), "r": 5}),
        write("names", peft_names=None),
        write("schema", schema=type(good.schema).of(good.initial, private=["head.*"])),
    ]
    assert len({good.digest, *(other.digest for other in others)}) == 5


def test_a_copied_bundle_is_the_same(
    write: Callable[..., Bundle], tmp_path: Path, make_study: Callable[..., Study]
) -> None:
    good = write("good")
    shutil.copytree(tmp_path / "good", tmp_path / "copy")
    assert read_bundle(tmp_path / "copy").digest == good.digest
