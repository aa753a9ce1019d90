"""`python -m dexzoo`: the same as the command `dexzoo`."""

import sys

from dexzoo.experiments.cli import main

sys.exit(main())
