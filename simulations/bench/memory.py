"""Memory of this process, as the system counts it."""

from pathlib import Path


def peak_mb() -> float:
    """Return the largest resident set so far, or since `reset_peak`, in MB (1024 kB).

    `getrusage` would count what a process was before it became this program: that of its parent.
    """
    return _status_mb("VmHWM")


def resident_mb() -> float:
    """Return the resident set of this process now, in MB."""
    return _status_mb("VmRSS")


def reset_peak() -> None:
    """Let the peak begin anew at what this process has now."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def _status_mb(word: str) -> float:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{word}:"))
