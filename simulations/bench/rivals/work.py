"""A study's rows as tokens in a file, for contenders whose Python has torch and peft, but no tables and no Flower."""

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from client.execution import Execution
from client.site_rows import SiteRows, SplitRows
from common.machine import usable_cores
from common.tasks import Example
from simulations.bench.bare_loop import BareLoop, Load, load_of
from simulations.catalogue import base_folder, load

if TYPE_CHECKING:
    from common.study import Study

WORK = "FEDPEFT_BENCH_WORK"
"""The variable that names the file."""
_PARTS = ("train", "validation")


def write_work(study_name: str, folder: Path) -> str:
    """Write the file into a folder in which a generated base model can lie too, and return its path."""
    from simulations.bench.bare_loop import tokenised
    from simulations.virtual import read_sites

    study = load(study_name)
    base = base_folder(study, folder)
    rows = tokenised(study, read_sites(study, folder), base)
    sites = {site: {part: _written(getattr(parts, part)) for part in _PARTS} for site, parts in rows.items()}
    path = folder / "work.json"
    path.write_text(json.dumps({"study": study_name, "base": str(base), "sites": sites}), encoding="ascii")
    return str(path)


def _written(rows: SplitRows) -> list[tuple[list[int], int]]:
    texts = [example for example in rows.examples if isinstance(example, Example)]
    return [(list(text.input_ids), int(text.target)) for text in texts]


class Work:
    """What the file says, and a bare loop over it."""

    def __init__(self) -> None:
        content = json.loads(Path(os.environ[WORK]).read_text(encoding="ascii"))
        self.study: Study = load(content["study"])
        self.rows: dict[str, SiteRows] = {}
        for site, parts in content["sites"].items():
            training, validation = (_read(parts[part]) for part in _PARTS)
            self.rows[site] = SiteRows(training, validation, _read([]))
        self._base: str = content["base"]

    def loop(self, *, threads: int | None = None) -> BareLoop:
        """Return a model with its adapter."""
        return BareLoop(self._base, self.study, Execution(precision="fp32", threads=threads or usable_cores()))

    def load(self, site: str, round_number: int) -> Load:
        """Return a site's batches in a round."""
        return load_of(self.study, {site: self.rows[site]}, round_number=round_number)


def _read(rows: list[tuple[list[int], int]]) -> SplitRows:
    examples = [Example(tuple(ids), target) for ids, target in rows]
    return SplitRows(examples, np.asarray([e.target for e in examples]), [str(i) for i in range(len(examples))])
