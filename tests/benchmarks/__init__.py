"""Benchmarks against other tools on the same server: `packaging/bench NAME`. `_measure` compares two ways of one thing;
`transfers` has all engines race (`_race`) on several servers (`_sites`) with the peers (`_tools`), and watches the window."""
