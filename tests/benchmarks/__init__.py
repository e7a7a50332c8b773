"""Benchmarks against other tools on the same server: `packaging/bench NAME`. How to measure and report: `_measure`."""
