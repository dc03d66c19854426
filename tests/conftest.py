"""What every test run shares: no network, one thread, and no stopwatch on hypothesis, since machines are shared."""

import os

from hypothesis import settings

from common.quiet import silence

# Before any test imports flwr or torch, which read these then.
silence(os.environ)
os.environ.setdefault("OMP_NUM_THREADS", "1")

settings.register_profile("fedpeft", deadline=None)
settings.load_profile("fedpeft")
