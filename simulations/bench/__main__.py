"""`make bench`: how far fedpeft is from what the machine must do at least. Ratios of one run; nothing is asserted.

`python -m simulations.bench [SECTION ...]`; without a name, all of them. The processes that measure import this file
anew: what other sections need is not in their memory.
"""

import sys

if __name__ == "__main__":
    from simulations.bench.sections import main

    sys.exit(main(sys.argv[1:]))
