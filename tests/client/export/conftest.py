"""Adapters of random numbers over the tiny models, as a run leaves them, and a site's own tensors beside them."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from client.opening import Place
from common.adapter_folder import write_adapter
from common.bundle import Bundle
from common.state import Array
from common.tensor_files import to_safetensors
from simulations.builtin_rows.quick import rows as generated


@dataclass(frozen=True)
class Made:
    """Where the adapter is, and the folder of a site's own tensors, if the study has such."""

    place: Place
    private: Path | None


@pytest.fixture
def make_adapter(make_bundle: Callable[..., Bundle], tiny_model: Path, tmp_path: Path) -> Callable[..., Made]:
    """`make_adapter("section.key=value", ..., carried=3)`: none of its tensors is zero or as it was drawn."""

    def make(*overrides: str, carried: int = 0, seed: int = 1) -> Made:
        bundle, rng = make_bundle(*overrides), np.random.default_rng(seed)
        state = {name: drawn(rng, array.shape) for name, array in bundle.initial.items()}
        shared = {name: state[name] for name in bundle.schema.shared.names}
        for name in [n for n in shared if carried and n.endswith("lora_A.weight")]:
            other = name.replace("lora_A", "lora_B")
            shared[f"carried.{name}"] = drawn(rng, (carried, state[name].shape[1]))
            shared[f"carried.{other}"] = drawn(rng, (state[other].shape[0], carried))
        write_adapter(tmp_path / "adapter", bundle, shared, card="")
        own = {name: state[name] for name in bundle.schema.private.names}
        if own:
            (tmp_path / "private.safetensors").write_bytes(to_safetensors(own))
        return Made(Place(tmp_path / "adapter", tiny_model), tmp_path if own else None)

    return make


def drawn(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    return rng.normal(0, 0.3, shape).astype(np.float32)


@pytest.fixture(scope="session")
def notes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All generated rows, with labels and patients."""
    import pandas

    path = tmp_path_factory.mktemp("notes") / "rows.csv"
    pandas.DataFrame(list(generated())).to_csv(path, index=False)
    return path
