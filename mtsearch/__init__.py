"""mtsearch: search over multi-task networks, ending in a Pareto front of tested, deployable
models."""

__version__ = "0.1.0"
