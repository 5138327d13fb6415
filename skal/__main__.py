"""`python -m skal` is the command `skal`."""

import sys

from .cli import main

sys.exit(main())
