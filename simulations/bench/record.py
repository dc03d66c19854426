"""What was measured, on disk: bench.json, in which each section stays until it is measured again, and its page."""

import json
import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any  # JSON values

from common.files import write_bytes, write_json
from common.machine import memory_bytes, usable_cores, versions
from simulations.bench.page import render

FILE, PAGE = "bench.json", "bench.html"


@dataclass(frozen=True)
class Measured:
    """One section: figures by name, the machine's load around it, when it began (ISO, UTC), and the command."""

    figures: Mapping[str, float]
    load_before: float
    load_after: float
    date: str
    command: str


def record(folder: Path, section: str, measured: Measured) -> None:
    """Put a section in the place of what was measured of it before, and write file and page anew."""
    content = merged(_read(folder / FILE), section, measured, machine())
    write_json(folder / FILE, content)
    write_bytes(folder / PAGE, render(content).encode("utf-8"))


def merged(content: Mapping[str, Any], section: str, measured: Measured, machine: Mapping[str, Any]) -> dict[str, Any]:
    """Return the file's content with this section, which says what machine it was measured on."""
    entry = {**asdict(measured), "figures": known(measured.figures), "machine": machine}
    return {"sections": {**content.get("sections", {}), section: entry}}


def known(figures: Mapping[str, float]) -> dict[str, float | None]:
    """Return figures as JSON has them: null stands for what is infinite, such as rounds until something pays.

    >>> known({"pays_after_rounds": math.inf, "seconds": 2.0})
    {'pays_after_rounds': None, 'seconds': 2.0}
    """
    return {name: value if math.isfinite(value) else None for name, value in figures.items()}


def shown(value: float) -> str:
    """Return a figure as the terminal has it.

    >>> shown(math.inf), shown(0.12345)
    ('never', '0.123')
    """
    return "never" if value == math.inf else f"{value:.3f}"


def machine(cpuinfo: Path = Path("/proc/cpuinfo")) -> dict[str, Any]:
    """Return what figures depend on: cores, processor and what torch makes of it, memory, versions."""
    import torch

    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.is_file() else []
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), None)
    return {
        "cores": usable_cores(),
        "cpu": model,
        "capability": torch.backends.cpu.get_cpu_capability(),
        "memory_bytes": memory_bytes(),
        "omp_num_threads": os.environ.get("OMP_NUM_THREADS"),
        "versions": versions(),
    }


def _read(path: Path) -> dict[str, Any]:
    """Return what was measured before; nothing where the file is not there or not ours."""
    try:
        content: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) and isinstance(content.get("sections"), dict) else {}
