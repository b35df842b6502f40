"""Set up before NumPy is imported: its many small products are slower on several BLAS threads than on one."""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
