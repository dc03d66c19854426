"""A generated folder of a long run over many sites: events and results as large as real ones; no rows, no adapter."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final  # JSON values

import numpy as np

from common.files import write_bytes
from server.events import (
    Event,
    RoundFinished,
    RoundStarted,
    RunFinished,
    RunStarted,
    SiteAnswered,
    to_json,
)

METRICS: Final = ("auroc", "auprc", "accuracy", "balanced_accuracy", "f1", "brier", "log_loss", "calibration_error")
STATUSES: Final = ("accepted", "refused", "late", "absent")
ODDS: Final = (0.94, 0.02, 0.02, 0.02)
_STUDY: Final = {
    "name": "long",
    "description": "A generated run of many rounds over many sites",
    "seed": 0,
    "peft": {"method": "lora"},
    "aggregation": {"name": "fedavg"},
    "privacy": {"mechanism": "none"},
}


def write_run(folder: Path, *, rounds: int, sites: int, seed: int = 0, finished: bool = True) -> None:
    """Write `events.jsonl`, the bundle's study, and results where the run is `finished`, to a new folder."""
    names = tuple(f"site-{place:02}" for place in range(1, sites + 1))
    events = list(_events(names, rounds, np.random.default_rng(seed)))
    lines = (json.dumps({"time": "2026-01-01T00:00:00.000+00:00", **to_json(event)}) for event in events)
    write_bytes(folder / "events.jsonl", "".join(f"{line}\n" for line in lines).encode(), durable=False)
    write_bytes(folder / "bundle" / "study.json", json.dumps(_STUDY).encode(), durable=False)
    if finished:
        content = json.dumps(_results(events), indent=2)
        write_bytes(folder / "results.json", content.encode(), durable=False)


def _events(names: tuple[str, ...], rounds: int, rng: np.random.Generator) -> Iterator[Event]:
    yield RunStarted("run-long", names, 0, rounds)
    for number in range(1, rounds + 1):
        yield RoundStarted(number, rounds, "train", names)
        found = dict(zip(names, rng.choice(STATUSES, size=len(names), p=ODDS), strict=True))
        for name, status in found.items():
            reason = "TRAINING_FAILED" if status == "refused" else None
            yield SiteAnswered(number, name, status, reason, 463880, float(rng.uniform(1, 9)), _train(rng, number))
        record = _record(number, {name: str(status) for name, status in found.items()}, rng)
        yield RoundFinished(number, rounds, record, _validation(names, number - 1, rounds, rng))
    yield RunFinished(rounds, rounds, _validation(names, rounds, rounds, rng))


def _train(rng: np.random.Generator, number: int) -> dict[str, float]:
    loss = float(0.3 + 0.4 / (1 + 0.03 * number) + rng.normal(0, 0.02))
    return {"loss": loss, "steps": 20.0, "seconds_train": float(rng.uniform(1, 9)), "seconds_evaluate": 0.1837465}


def _record(number: int, found: Mapping[str, str], rng: np.random.Generator) -> dict[str, Any]:
    accepted = [name for name, status in found.items() if status == "accepted"]
    train = {name: _train(rng, number) for name in accepted}
    share = {"examples": 200, "bytes_up": 463880, "bytes_down": 463880}
    lost = {"examples": None, "bytes_up": 0, "bytes_down": 463880, "reason": "TRAINING_FAILED"}
    parts = {name: {"status": s, **(share if s == "accepted" else lost)} for name, s in found.items()}
    norms = {name: float(rng.uniform(2, 3)) for name in accepted}
    diagnostics = {
        "aggregated_norm": float(rng.uniform(1, 2)),
        "update_norms": norms,
        "aggregation_error": float(rng.uniform(0.1, 0.4)),
        "effective_rank": float(rng.uniform(2, 4)),
        "drift": float(rng.uniform(0.8, 1.2)),
        "pairwise_cosine": float(rng.uniform(0, 0.2)),
        "cosines": {name: float(rng.uniform(0.2, 0.9)) for name in accepted},
        "reasons": {},
    }
    seconds = {"total": float(rng.uniform(9, 11)), "train": 200.1, "evaluate": 5.1, "aggregate": 0.01, "diagnose": 0.02}
    return {
        "round": number,
        "seconds": seconds,
        "participation": parts,
        "train": {"mean": _train(rng, number), "sites": train},
        "validation": None,
        "diagnostics": diagnostics,
    }


def _validation(names: tuple[str, ...], number: int, rounds: int, rng: np.random.Generator) -> dict[str, Any]:
    level = 0.6 + 0.3 * number / rounds
    return {"sites": {name: _metrics(level, 80, rng) for name in names}, "pooled": _metrics(level, 4000, rng)}


def _metrics(level: float, n: int, rng: np.random.Generator) -> dict[str, Any]:
    values = np.clip(level + rng.normal(0, 0.04, len(METRICS)), 0, 1)
    return {
        name: {"value": float(value), "low": float(value - 0.0512345), "high": float(value + 0.0498765), "n": n}
        for name, value in zip(METRICS, values, strict=True)
    }


def _results(events: list[Event]) -> dict[str, Any]:
    """Return results with the rounds as the server has them and one comparison, of the size of real ones."""
    finished = [event for event in events if isinstance(event, RoundFinished)]
    scores = [event.validation for event in events if isinstance(event, RoundFinished | RunFinished)]
    rounds = [{**e.record, "validation": found} for e, found in zip(finished, scores[1:], strict=True)]
    last = scores[-1] or {}
    mode = {**last, "mean": last.get("pooled")}
    comparison = {"federated": mode, "local": mode, "central": mode, "benefit": None}
    return {"format": 1, "study": _STUDY, "seed": 0, "rounds": rounds, "comparison": comparison, "privacy": None}
