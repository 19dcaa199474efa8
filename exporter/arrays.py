"""The names of array types in this package."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.generic]
Tensors = Mapping[str, Array]
"""Arrays by the name of their tensor; the first axis is the batch."""
