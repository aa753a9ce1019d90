"""One file per benchmark, each with `rows(quick)`; `experiments/benchmark.py` runs them and prints the tables."""
