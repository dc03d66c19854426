"""The study of the deployment benchmark: 48 tensors of LoRA, 1 or 20 MB; its rows; and that a site lets it in."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from client.policy import Policy, objections
from common.keys import public_text
from simulations.bench.adapters import LARGE_RANK, SITES, SMALL_RANK, TARGETS, prepare_study

KEY = public_text(Ed25519PrivateKey.generate())


@pytest.mark.parametrize(("rank", "megabytes"), [(SMALL_RANK, 1.03), (LARGE_RANK, 20.6)])
def test_the_adapter_is_what_is_said_of_it(rank: int, megabytes: float, tmp_path: Path) -> None:
    made = prepare_study(tmp_path, rank=rank, rounds=2)
    names = [tensor.name for tensor in made.bundle.schema.shared.tensors]
    assert sum("lora_" in name for name in names) == 48 == 2 * 4 * len(TARGETS)
    assert len(names) == 50
    assert made.bundle.schema.size_bytes / 1e6 == pytest.approx(megabytes, rel=0.01)
    assert made.bundle.study.federation.sites == SITES
    assert made.bundle.study.federation.rounds == 2
    rows = [(made.rows / f"{site}.csv").read_bytes() for site in SITES]
    assert rows[0] != rows[1]
    assert not objections(Policy(coordinators=(KEY,)), made.bundle, site=SITES[0], coordinator=KEY)
