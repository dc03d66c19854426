"""Peak memory of this process."""

import resource


def peak_mb() -> float:
    """Return the largest resident set of this process so far, in MB (1024 kB)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
