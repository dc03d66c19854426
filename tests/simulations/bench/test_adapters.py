"""The study of the deployment benchmark: 48 tensors of LoRA, 1 MB, and rows of its own for each site."""

from pathlib import Path

from simulations.bench.adapters import SITES, SMALL_RANK, TARGETS, prepare_study


def test_the_adapter_is_what_is_said_of_it(tmp_path: Path) -> None:
    made = prepare_study(tmp_path, rank=SMALL_RANK, rounds=2)
    names = [tensor.name for tensor in made.bundle.schema.shared.tensors]
    assert sum("lora_" in name for name in names) == 48 == 2 * 4 * len(TARGETS)
    assert len(names) == 50
    assert 1e6 < made.bundle.schema.size_bytes < 1.1e6
    assert made.bundle.study.federation.sites == SITES
    assert made.bundle.study.federation.rounds == 2
    rows = [(made.rows / f"{site}.csv").read_bytes() for site in SITES]
    assert rows[0] != rows[1]
