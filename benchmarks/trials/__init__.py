"""Trials that benchmarks have actors run."""
