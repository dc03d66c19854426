"""What a search is: its study, space, seed and objective. Written once, and the same whenever it goes on."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final  # JSON values

from common.errors import CheckpointError, StudyError
from common.files import write_json
from common.metrics.measure import MetricInfo
from common.study import Study
from common.study_task import task_of
from simulations.tune.space import Parameter, parameter_of

FACTS: Final = "tune.json"
DATABASE: Final = "tune.db"
OURS: Final = {FACTS, DATABASE, "lock", "asking.lock", "trials.csv", "trials.jsonl", "best.toml"}
PART: Final = ".part-"
"""Begins the name of a trial's folder, which is there while it is played."""


@dataclass(frozen=True)
class Facts:
    """study: as JSON, with every default. objective: a metric's name. plugins: folders of the user's own."""

    study: Mapping[str, Any]
    space: Mapping[str, Mapping[str, Any]]
    seed: int
    objective: str
    prune: bool
    threads: int
    plugins: Sequence[str] = ()

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """The search space."""
        return tuple(parameter_of(key, table) for key, table in self.space.items())

    @property
    def info(self) -> MetricInfo:
        """The objective."""
        return info_of(self.base, self.objective)

    @property
    def base(self) -> Study:
        """The study that trials change."""
        return Study.model_validate(self.study)


def objective_of(study: Study, wanted: str | None) -> str:
    """Return the metric to search by: `wanted`, else what rounds are chosen by, which one model over all sites has.

    Raises:
        StudyError: the task has no such metric.
    """
    measure = task_of(study.task).measure
    if wanted is None:
        return measure.tuning if study.peft.private or study.federation.ranks else measure.choosing[0]
    return info_of(study, wanted).name


def info_of(study: Study, name: str) -> MetricInfo:
    """Return what a metric of the study's task is. Raises StudyError."""
    infos = {info.name: info for info in task_of(study.task).measure.infos}
    if name not in infos:
        raise StudyError(f"--objective {name!r} is no metric of {study.task.kind}; there are: {', '.join(infos)}")
    return infos[name]


def open_folder(out: Path, facts: Facts, *, resume: bool) -> None:
    """Begin the search in the folder `out`, or go on with the one that is there.

    Raises:
        CheckpointError: a search is there, and `resume` is not given; or another one. StudyError: other files are.
    """
    if out.exists() and not out.is_dir():
        raise StudyError(f"--out {out} is a file; name a folder")
    if (out / FACTS).is_file():
        _check_same(read_facts(out), facts, out, resume=resume)
        return
    if resume:
        raise CheckpointError(f"--resume: there is no search in {out}; leave it out to begin one")
    others = {path.name for path in out.iterdir()} - OURS if out.exists() else set()
    if others:
        raise StudyError(f"--out {out} is not empty and holds no search; choose another folder")
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / FACTS, asdict(facts))


def _check_same(begun: Facts, facts: Facts, out: Path, *, resume: bool) -> None:
    if not resume:
        raise CheckpointError(f"{out} holds a search already; go on with --resume, or choose another --out")
    old, new = asdict(begun), json.loads(json.dumps(asdict(facts)))
    changed = [key for key in old if old[key] != new[key]]
    if changed:
        raise CheckpointError(
            f"{out} holds a search with another {', '.join(changed)}; give what it was begun with, or another --out"
        )


def read_facts(out: Path) -> Facts:
    """Return what `open_folder` wrote. Raises CheckpointError."""
    try:
        return Facts(**json.loads((out / FACTS).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise CheckpointError(f"{out / FACTS} cannot be read ({type(error).__name__}); the search is lost") from None
