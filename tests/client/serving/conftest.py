"""Services over the tiny model, asked in the process; their adapters are random numbers."""

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from client.prediction import predict
from client.serving.api import build_app
from client.serving.service import Service, Settings
from common.adapter_folder import write_adapter
from common.bundle import Bundle
from common.state import Array
from common.tensor_files import to_safetensors
from common.web.hosts import Hosts
from simulations.builtin_rows.quick import rows as generated

with warnings.catch_warnings():  # starlette 1.3 asks anyio for a name that it has moved
    warnings.simplefilter("ignore", DeprecationWarning)
    from starlette.testclient import TestClient

PRIVATE = "peft.private=['head.*', '*lora_B*']"


@pytest.fixture(scope="session")
def rows() -> list[dict[str, Any]]:
    """The generated rows as requests have them."""
    return [{"age": row["age"], "note": row["note"]} for row in generated()]


@dataclass(frozen=True)
class Adapter:
    """An adapter on disk over the tiny model, and sites' folders of their own tensors."""

    folder: Path
    base: Path
    sites: Mapping[str, Path]

    def predicted(self, rows: list[dict[str, Any]], scratch: Path, site: str | None = None) -> list[dict[str, Any]]:
        """Return what `fedpeft predict` says of these rows."""
        import pandas

        pandas.DataFrame(rows).to_csv(scratch / "asked.csv", index=False)
        private = None if site is None else self.sites[site]
        return [
            dict(r) for r in predict(self.folder, scratch / "asked.csv", base_folder=self.base, private=private).rows
        ]


@pytest.fixture
def make_adapter(make_bundle: Callable[..., Bundle], tiny_model: Path, tmp_path: Path) -> Callable[..., Adapter]:
    """`make_adapter("section.key=value", ..., seed=1, sites=("east",))`; again with another seed in the same place."""

    def make(*overrides: str, seed: int = 1, sites: tuple[str, ...] = ()) -> Adapter:
        bundle = make_bundle(*overrides)
        state = drawn(bundle, seed)
        write_adapter(tmp_path / "adapter", bundle, {n: state[n] for n in bundle.schema.shared.names}, card="")
        folders = {}
        for number, site in enumerate(sites):
            own = drawn(bundle, 100 + number)
            folders[site] = tmp_path / f"site-{site}"
            folders[site].mkdir(exist_ok=True)
            content = to_safetensors({n: own[n] for n in bundle.schema.private.names})
            (folders[site] / "private.safetensors").write_bytes(content)
        return Adapter(tmp_path / "adapter", tiny_model, folders)

    return make


def drawn(bundle: Bundle, seed: int) -> dict[str, Array]:
    rng = np.random.default_rng(seed)
    return {name: rng.normal(0, 0.3, a.shape).astype(np.float32) for name, a in bundle.initial.items()}


@pytest.fixture
def serve() -> Iterator[Callable[..., tuple[TestClient, Service]]]:
    """`serve(adapter, most_rows=3, ...)`: a service that answers, and a client of it."""
    with ExitStack() as stack:

        def make(adapter: Adapter, hosts: Hosts | None = None, **changes: Any) -> tuple[TestClient, Service]:
            chosen = {"base_model": adapter.base, "sites": adapter.sites, **changes}
            service = Service(Settings(adapter.folder, **chosen))
            return stack.enter_context(
                TestClient(build_app(service, hosts=hosts), raise_server_exceptions=False)
            ), service

        yield make


def close_to(found: list[dict[str, Any]], wanted: list[dict[str, Any]]) -> bool:
    """Whether predictions are the same but for the order of sums."""
    return len(found) == len(wanted) and all(
        a.keys() == b.keys()
        and all(a[key] == (pytest.approx(b[key], abs=1e-6) if isinstance(b[key], float) else b[key]) for key in b)
        for a, b in zip(found, wanted, strict=True)
    )


@pytest.fixture
def are_close() -> Callable[..., bool]:
    """See `close_to`."""
    return close_to
