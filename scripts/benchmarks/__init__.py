"""Parts of scripts/benchmark.py: a raw world of any size, measured commands, the statement to compare with."""
