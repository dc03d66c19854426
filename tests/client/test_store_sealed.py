"""A site's store with a seal: the same answers, and a disk that tells nothing and cannot be rearranged."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from client.sealing import HEAD, KEY_BYTES, Seal
from client.store import TEST_SCORES, SiteStore
from common.answers import payload_digest, to_json
from common.errors import CheckpointError
from common.metrics.classes import ClassMeasure
from common.protocol import Refusal, Reply, Request, RoundPlan
from common.state import Array, digest_state

SEAL = Seal(os.urandom(KEY_BYTES))
RNG = np.random.default_rng(0)
SCORES = RNG.uniform(size=(7, 2))


def request(number: int, run: str = "run-1") -> Request:
    shared = {"a": np.zeros(3, np.float32)}
    return Request("train", run, number, 0, "s", "t", RoundPlan(), ("validation",), shared)


def reply(number: int) -> Reply:
    return Reply({"layer.update": np.full(30, number / 7, np.float32)}, 5, {"loss": 0.25}, {})


def private(number: int) -> dict[str, Array]:
    return {"own.bias": np.full(20, number / 3, np.float32)}


def filled(folder: Path, seal: Seal | None = SEAL) -> SiteStore:
    store = SiteStore(folder, measure=ClassMeasure(2), durable=False, seal=seal)
    for number in (1, 2):
        store.save(request(number), reply(number), private(number))
    store.save(request(1, "run-2"), Refusal("REFUSED_BY_POLICY"), private(1))
    store.save_test_scores("run-1", SCORES)
    return store


def files_of(store: SiteStore) -> list[Path]:
    return sorted(path for path in store.folder.rglob("*") if path.is_file())


def read_all(store: SiteStore) -> None:
    for number in (1, 2):
        answer = store.find(request(number))
        assert isinstance(answer, Reply)
        assert payload_digest(answer) == payload_digest(reply(number))
        assert digest_state(store.private_after("run-1", number, {})) == digest_state(private(number))
    assert store.find(request(1, "run-2")) == Refusal("REFUSED_BY_POLICY")
    assert (store.test_scores("run-1") == SCORES).all()


@pytest.mark.parametrize("seal", [None, SEAL], ids=["plain", "sealed"])
def test_answers_private_tensors_and_scores_come_back_after_a_restart(seal: Seal | None, tmp_path: Path) -> None:
    filled(tmp_path / "site", seal)
    read_all(SiteStore(tmp_path / "site", measure=ClassMeasure(2), seal=seal))


def secrets() -> list[bytes]:
    """What would tell of the content: tensors, parts of them, names, the answer's JSON, the form of the files."""
    arrays = [*reply(1).update.values(), *reply(2).update.values(), *private(1).values(), *private(2).values(), SCORES]
    whole = [array.tobytes() for array in arrays]
    names = [b"layer.update", b"own.bias", b"scores", b"request", b"examples", b"F32", b"REFUSED_BY_POLICY"]
    return [*whole, *(text[:8] for text in whole), *names, json.dumps(to_json(reply(1))).encode()]


def test_nothing_of_the_content_is_on_the_disk(tmp_path: Path) -> None:
    plain = b"".join(path.read_bytes() for path in files_of(filled(tmp_path / "plain", None)))
    sealed = [path.read_bytes() for path in files_of(filled(tmp_path / "sealed"))]
    assert len(sealed) == 4
    assert all(text.startswith(HEAD) for text in sealed)
    assert [secret for secret in secrets() if any(secret in text for text in sealed)] == []
    assert sum(secret in plain for secret in secrets()) == len(secrets()) - 1, "the test looks for what would be there"


def test_a_file_in_another_s_place_is_found(tmp_path: Path) -> None:
    store = filled(tmp_path / "site")
    one, two = (store.folder / "runs" / "run-1" / f"train-00000{number}.safetensors" for number in (1, 2))
    contents = one.read_bytes(), two.read_bytes()
    one.write_bytes(contents[1])
    two.write_bytes(contents[0])
    for number in (1, 2):
        with pytest.raises(CheckpointError, match=rf"train-00000{number}\.safetensors cannot be opened"):
            store.find(request(number))


def test_a_file_of_another_study_of_the_same_site_is_found(tmp_path: Path) -> None:
    left, right = (filled(tmp_path / study) for study in ("study-1", "study-2"))
    shutil.copyfile(files_of(left)[0], files_of(right)[0])
    with pytest.raises(CheckpointError):
        read_all(right)


def test_a_folder_may_move(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    filled(tmp_path / "old" / "study")
    (tmp_path / "old").rename(tmp_path / "new")
    read_all(SiteStore(tmp_path / "new" / "study", measure=ClassMeasure(2), seal=SEAL))
    monkeypatch.chdir(tmp_path / "new" / "study")
    read_all(SiteStore(Path(), measure=ClassMeasure(2), seal=SEAL))


@pytest.mark.parametrize("seal", [None, Seal(bytes(KEY_BYTES))], ids=["no key", "another key"])
def test_without_the_key_nothing_is_read(seal: Seal | None, tmp_path: Path) -> None:
    filled(tmp_path / "site")
    store = SiteStore(tmp_path / "site", measure=ClassMeasure(2), seal=seal)
    for read in (lambda: store.find(request(1)), lambda: store.test_scores("run-1")):
        with pytest.raises(CheckpointError) as error:
            read()
        assert "\n" not in str(error.value)
        assert str(tmp_path) not in str(error.value)


def test_a_file_that_was_never_sealed_is_not_taken(tmp_path: Path) -> None:
    """Else who can write to the disk need not know the key."""
    filled(tmp_path / "site", None)
    store = SiteStore(tmp_path / "site", measure=ClassMeasure(2), seal=SEAL)
    with pytest.raises(CheckpointError, match="is not sealed"):
        store.find(request(1))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(st.data())
def test_every_change_of_one_byte_is_found(tmp_path: Path, data: st.DataObject) -> None:
    store = filled(tmp_path / "site")
    path = data.draw(st.sampled_from(files_of(store)))
    content = bytearray(path.read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    with pytest.raises(CheckpointError):
        read_all(store)


@pytest.mark.parametrize("head", [{}, {"answer": "{", "request": "r"}, {"answer": "{}", "request": "r"}])
def test_a_file_of_another_form_is_a_clear_error(head: dict[str, str], tmp_path: Path) -> None:
    store = filled(tmp_path / "site", None)
    path = store.folder / "runs" / "run-1" / "train-000001.safetensors"
    path.write_bytes(safetensors.numpy.save({}, metadata={**head, "format": "pt"}))
    with pytest.raises(CheckpointError, match=r"train-000001\.safetensors cannot be read"):
        store.find(request(1))


def test_scores_that_are_not_there_are_said(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=TEST_SCORES):
        SiteStore(tmp_path, measure=ClassMeasure(2)).test_scores("run-1")
