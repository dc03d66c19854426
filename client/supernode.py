"""`flower-supernode` with shorter waits: `python -m client.supernode`, with Flower's own options.

A message is often announced before its tensors are uploaded; Flower then looks again after 1, 2, 4 and more seconds.
"""

import os
import sys

from client.flower_runtime import flower_supernode
from common.flower_backoff import shorten_backoff
from common.quiet import silence

if __name__ == "__main__":
    silence(os.environ)
    shorten_backoff()
    sys.argv[0] = "flower-supernode"
    flower_supernode()
