"""Replays of searches on tables and surrogates of learning curves, for `benchmarks/search.py`."""
