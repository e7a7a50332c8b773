"""Memory of the window and its helpers, and its late frames, while much is moved."""

from __future__ import annotations

import argparse
from functools import partial

from tests.benchmarks._measure import Ratio


def measure_window(words: argparse.Namespace) -> list[tuple[str, partial[list[Ratio]]]]:
    return []
