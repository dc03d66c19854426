from pathlib import Path

import numpy as np

from common.state import AdapterSchema, digest_state
from server import spool
from server.aggregation import ClientUpdate


def client(site: str, value: float, examples: int = 3) -> ClientUpdate:
    update = {
        "a.weight": np.full((3, 2), value, np.float32).T + np.arange(3, dtype=np.float32),
        "b": np.full((), value, np.float32),
    }
    return ClientUpdate(site, update, examples, examples / 3, extra={"c/x": np.arange(6.0).reshape(2, 3).T})


SCHEMA = AdapterSchema.of(client("a", 0).update)


def test_updates_come_back_in_the_order_of_site_names(tmp_path: Path) -> None:
    for site in ("b", "c", "a"):
        spool.put(tmp_path, 1, client(site, ord(site)), SCHEMA)
    read = list(spool.updates(tmp_path, 1, dict.fromkeys("cba", SCHEMA)))
    assert [u.site for u in read] == ["a", "b", "c"]
    for update in read:
        sent = client(update.site, ord(update.site))
        assert digest_state(update.update) == digest_state(sent.update)
        assert digest_state(update.extra) == digest_state(sent.extra)
        assert (update.examples, update.weight) == (sent.examples, sent.weight)


def test_a_weight_comes_back_to_the_bit(tmp_path: Path) -> None:
    spool.put(tmp_path, 1, client("a", 0, examples=1), SCHEMA)
    assert next(spool.updates(tmp_path, 1, {"a": SCHEMA})).weight == 1 / 3


def test_a_second_reply_takes_the_place_of_the_first(tmp_path: Path) -> None:
    spool.put(tmp_path, 1, client("a", 1), SCHEMA)
    spool.put(tmp_path, 1, client("a", 2), SCHEMA)
    (read,) = spool.updates(tmp_path, 1, {"a": SCHEMA})
    assert float(read.update["b"]) == 2


def test_only_the_tensors_asked_for_come_back(tmp_path: Path) -> None:
    part = SCHEMA.only(["b"])
    spool.put(tmp_path, 1, client("a", 1), part)
    assert set(next(spool.updates(tmp_path, 1, {"a": part})).update) == {"b"}


def test_rounds_do_not_mix_and_dropping_leaves_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "spool"
    spool.put(folder, 1, client("a", 1), SCHEMA)
    spool.put(folder, 2, client("a", 2), SCHEMA)
    assert [float(next(spool.updates(folder, t, {"a": SCHEMA})).update["b"]) for t in (1, 2)] == [1, 2]
    spool.drop(folder)
    assert not folder.exists()
    spool.drop(folder)


def test_a_part_of_an_update_is_read_alone(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    shapes = {"a": (3, 2), "b": (), "c": (4,), "d": (2, 1, 3)}
    dtypes = dict.fromkeys("abd", np.float32) | {"c": np.float64}
    sent = {s: {n: np.asarray(rng.normal(size=shape), dtypes[n]) for n, shape in shapes.items()} for s in "yx"}
    schema = AdapterSchema.of(sent["x"])
    for site, update in sent.items():
        spool.put(tmp_path, 1, ClientUpdate(site, update, 3, 1.5, extra={"e": np.ones(2)}), schema)
    for names in ("a", "b", "cd", "bd", "abcd", ""):
        read = list(spool.parts(tmp_path, 1, dict.fromkeys("yx", schema), names))
        assert [u.site for u in read] == ["x", "y"]
        for update in read:
            assert digest_state(update.update) == digest_state({n: sent[update.site][n] for n in names})
            assert (update.weight, dict(update.extra)) == (1.5, {})


def test_a_part_that_a_site_did_not_send_is_not_there(tmp_path: Path) -> None:
    part = SCHEMA.only(["b"])
    spool.put(tmp_path, 1, client("a", 1), part)
    assert set(next(spool.parts(tmp_path, 1, {"a": part}, ["a.weight", "b"])).update) == {"b"}
