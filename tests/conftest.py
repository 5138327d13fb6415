"""Settings of every test process."""

import os
import signal
from pathlib import Path

# The small arrays gain nothing from threads, which would only compete with the other test processes for the cores.
for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(name, "1")
os.environ.setdefault("MPLBACKEND", "Agg")

# A shell that starts the tests in its background has them ignore Ctrl-C, which some of them press.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Real data, by a path that holds in any working directory.
_data = os.environ.get("SKAL_DATA", Path(__file__).parents[2] / "shared" / "data")
os.environ["SKAL_DATA"] = str(Path(_data).resolve())
