"""Memory of this process, as the system counts it."""

import resource
from pathlib import Path


def peak_mb() -> float:
    """Return the largest resident set of this process so far, in MB (1024 kB)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def resident_mb() -> float:
    """Return the resident set of this process now, in MB."""
    return _status_mb("VmRSS")


def peak_since_reset_mb() -> float:
    """Return the largest resident set since `reset_peak`, in MB."""
    return _status_mb("VmHWM")


def reset_peak() -> None:
    """Let the peak begin anew at what this process has now."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def _status_mb(word: str) -> float:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{word}:"))
