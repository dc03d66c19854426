"""Rounds whose sites compress: what is folded is restored, what is hostile is refused, receipts are of the payload."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from common.answers import payload_digest
from common.compressing import restored
from common.compression import Compression
from common.compression.int8 import Int8
from common.compression.top_k import TopK
from common.protocol import Reply, Request, RoundPlan, asked_schema
from common.receipt_check import read_log
from common.state import AdapterState, digest_state
from server.receipts import Receipts

MakeLab = Callable[..., Any]
METHODS: list[Compression] = [Int8(), Int8("tensor"), TopK(density=0.3), TopK(density=1.0)]
ALL = pytest.mark.parametrize("compression", METHODS)


def lab_of(lab: MakeLab, compression: Compression, count: int = 3, seen: list[AdapterState] | None = None) -> Any:
    """Sites that compress, each with its own draws; `seen` notes the payloads."""
    made = lab(count)
    for name, site in made.sites.items():
        site.compression = compression

        def change(reply: Reply, request: Request, name: str = name) -> Reply:
            rng = np.random.default_rng([request.round, *name.encode()])
            payload, _ = compression.compress(reply.update, {}, rng)
            if seen is not None and request.kind == "train":
                seen.append(payload)
            return replace(reply, update=payload)

        site.change = change
    return made


@ALL
def test_what_is_folded_is_the_mean_of_what_the_payloads_stand_for(compression: Compression, lab: MakeLab) -> None:
    seen: list[AdapterState] = []
    made = lab_of(lab, compression, seen=seen)
    outcome = made.run(rounds=1, compression=compression)
    job, start = made.job(), made.start()
    updates = [restored(each, asked_schema(job.schema, "train", RoundPlan()), compression) for each in seen]
    weights = [made.sites[name].examples for name in sorted(made.sites)]
    for name, array in start.shared.items():
        mean = np.average([u[name].astype(np.float64) for u in updates], axis=0, weights=weights)
        np.testing.assert_allclose(outcome.adapter[name], array + mean, rtol=1e-6)
    statuses = [p["status"] for p in outcome.rounds[0]["participation"].values()]
    assert statuses == ["accepted"] * 3


def test_density_1_is_as_if_nothing_were_compressed(lab: MakeLab) -> None:
    plain = lab(3).run(rounds=3)
    whole = lab_of(lab, TopK(density=1.0)).run(rounds=3, compression=TopK(density=1.0))
    assert digest_state(whole.adapter) == digest_state(plain.adapter)


@ALL
def test_receipts_are_of_the_payload(compression: Compression, lab: MakeLab, tmp_path: Path) -> None:
    receipts = Receipts(tmp_path / "receipts.jsonl", Ed25519PrivateKey.generate(), durable=False)
    made, kept = lab_of(lab, compression), []
    inner = made.sites["site-a"].change

    def noting(reply: Reply, request: Request) -> Reply:
        answer: Reply = inner(reply, request)
        kept.append(payload_digest(answer))
        return answer

    made.sites["site-a"].change = noting
    made.run(rounds=2, compression=compression, receipts=receipts)
    found = [r.entry["digest"] for r in read_log(receipts.path).receipts if r.entry["site"] == "site-a"]
    assert found == kept


def bent(name: str, value: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
    def bend(payload: dict[str, Any]) -> dict[str, Any]:
        array = payload[name].copy()
        array.reshape(-1)[...] = value
        return {**payload, name: array}

    return bend


HALF = TopK(density=0.5)
HOSTILE: dict[str, tuple[Compression, Callable[[dict[str, Any]], dict[str, Any]], str]] = {
    "one index again and again": (HALF, bent("top-k.indices", 1), "rising order"),
    "an index beyond": (HALF, bent("top-k.indices", 2**32 - 1), "rising order"),
    "values beyond the bound": (HALF, bent("top-k.values", 1e30), "norm"),
    "a huge scale": (Int8(), bent("b.bias:scale", 2e36), "norm"),
    "a scale that overflows": (Int8(), bent("b.bias:scale", 3e38), "not between 0"),
    "a negative scale": (Int8(), bent("b.bias:scale", -1), "not between 0"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_payload_is_refused_and_the_round_goes_on(name: str, lab: MakeLab) -> None:
    compression, bend, reason = HOSTILE[name]
    made = lab_of(lab, compression)
    honest = made.sites["site-b"].change
    made.sites["site-b"].change = lambda reply, request: (
        replace(good, update=bend(dict(good.update))) if (good := honest(reply, request)).update else good
    )
    outcome = made.run(rounds=2, compression=compression, norm_bound=1e4)
    found = outcome.rounds[0]["participation"]
    assert {site: p["status"] for site, p in found.items()} == {
        "site-a": "accepted",
        "site-b": "refused",
        "site-c": "accepted",
    }
    assert reason in found["site-b"]["reason"]


def test_a_site_that_does_not_compress_is_refused(lab: MakeLab) -> None:
    made = lab_of(lab, Int8())
    plain = lab(3).sites["site-b"]
    made.sites["site-b"] = plain
    found = made.run(rounds=1, compression=Int8()).rounds[0]["participation"]["site-b"]
    assert found["status"] == "refused"
