from pathlib import Path

import numpy as np
import pytest

from common.state import AdapterSchema, digest_state
from server.aggregation import ClientUpdate
from server.spool import SMALL_BYTES, Spool


def client(site: str, value: float, examples: int = 3) -> ClientUpdate:
    update = {
        "a.weight": np.full((3, 2), value, np.float32).T + np.arange(3, dtype=np.float32),
        "b": np.full((), value, np.float32),
    }
    return ClientUpdate(site, update, examples, examples / 3, extra={"c/x": np.arange(6.0).reshape(2, 3).T})


SCHEMA = AdapterSchema.of(client("a", 0).update)


@pytest.fixture(params=[0, 100, 1 << 20], ids=["on disk", "one held", "all held"])
def spool(request: pytest.FixtureRequest, tmp_path: Path) -> Spool:
    return Spool(tmp_path / "spool", held_bytes=request.param)


def test_updates_come_back_in_the_order_of_site_names(spool: Spool) -> None:
    for site in ("b", "c", "a"):
        spool.put(1, client(site, ord(site)), SCHEMA)
    read = list(spool.updates(1, dict.fromkeys("cba", SCHEMA)))
    assert [u.site for u in read] == ["a", "b", "c"]
    for update in read:
        sent = client(update.site, ord(update.site))
        assert digest_state(update.update) == digest_state(sent.update)
        assert digest_state(update.extra) == digest_state(sent.extra)
        assert (update.examples, update.weight) == (sent.examples, sent.weight)


def test_a_weight_comes_back_to_the_bit(spool: Spool) -> None:
    spool.put(1, client("a", 0, examples=1), SCHEMA)
    assert next(spool.updates(1, {"a": SCHEMA})).weight == 1 / 3


def test_a_second_reply_takes_the_place_of_the_first(spool: Spool) -> None:
    spool.put(1, client("a", 1), SCHEMA)
    spool.put(1, client("a", 2), SCHEMA)
    (read,) = spool.updates(1, {"a": SCHEMA})
    assert float(read.update["b"]) == 2


def test_only_the_tensors_asked_for_come_back(spool: Spool) -> None:
    part = SCHEMA.only(["b"])
    spool.put(1, client("a", 1), part)
    assert set(next(spool.updates(1, {"a": part})).update) == {"b"}


def test_rounds_do_not_mix_and_dropping_leaves_nothing(spool: Spool) -> None:
    spool.put(1, client("a", 1), SCHEMA)
    spool.put(2, client("a", 2), SCHEMA)
    assert [float(next(spool.updates(t, {"a": SCHEMA})).update["b"]) for t in (1, 2)] == [1, 2]
    spool.drop()
    assert not spool.folder.exists()
    assert not spool._held
    spool.drop()


def test_a_part_of_an_update_is_read_alone(spool: Spool) -> None:
    rng = np.random.default_rng(0)
    shapes = {"a": (3, 2), "b": (), "c": (4,), "d": (2, 1, 3)}
    dtypes = dict.fromkeys("abd", np.float32) | {"c": np.float64}
    sent = {s: {n: np.asarray(rng.normal(size=shape), dtypes[n]) for n, shape in shapes.items()} for s in "yx"}
    schema = AdapterSchema.of(sent["x"])
    for site, update in sent.items():
        spool.put(1, ClientUpdate(site, update, 3, 1.5, extra={"e": np.ones(2)}), schema)
    for names in ("a", "b", "cd", "bd", "abcd", ""):
        read = list(spool.parts(1, dict.fromkeys("yx", schema), names))
        assert [u.site for u in read] == ["x", "y"]
        for update in read:
            assert digest_state(update.update) == digest_state({n: sent[update.site][n] for n in names})
            assert (update.weight, dict(update.extra)) == (1.5, {})


def test_a_part_that_a_site_did_not_send_is_not_there(spool: Spool) -> None:
    part = SCHEMA.only(["b"])
    spool.put(1, client("a", 1), part)
    assert set(next(spool.parts(1, {"a": part}, ["a.weight", "b"])).update) == {"b"}


def test_held_is_what_is_small_and_no_more_than_fits(tmp_path: Path) -> None:
    spool = Spool(tmp_path, held_bytes=3 * SMALL_BYTES)
    sizes = {"a": SMALL_BYTES, "b": SMALL_BYTES + 4, "c": SMALL_BYTES, "d": SMALL_BYTES, "e": SMALL_BYTES}
    for site, size in sizes.items():
        update = {"w": np.full(size // 4, ord(site), np.float32)}
        spool.put(1, ClientUpdate(site, update, 1, 1.0), AdapterSchema.of(update))
    assert sorted(path.stem for path in tmp_path.glob("*/*")) == ["b", "e"]  # too large, and beyond the sum
    schemas = {site: AdapterSchema.of({"w": np.zeros(size // 4, np.float32)}) for site, size in sizes.items()}
    assert [u.update["w"][0] for u in spool.updates(1, schemas)] == [ord(site) for site in sizes]
    for _ in range(5):  # one in the place of another takes no more room
        spool.put(1, ClientUpdate("a", {"w": np.ones(SMALL_BYTES // 4, np.float32)}, 1, 1.0), schemas["a"])
    assert next(spool.updates(1, schemas)).update["w"][0] == 1
    assert not (tmp_path / "round-000001" / "a.safetensors").exists()
