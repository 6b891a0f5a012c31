"""Parts of scripts/benchmark.py: a raw world of any size, measured runs, the statement to compare with."""
