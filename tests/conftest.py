"""Settings of every test process."""

import os

# The small arrays gain nothing from threads, which would only compete with the other test processes for the cores.
for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(name, "1")
os.environ.setdefault("MPLBACKEND", "Agg")
