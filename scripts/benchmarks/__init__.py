"""Parts of scripts/benchmark.py: raw tables of any size, measured runs, and what they are compared with."""
