"""Formulations, which derive auxiliary tasks from a target. Each formulation is one file."""

from mtsearch.population.formulations.base import Formulation, build_formulation, formulation

__all__ = ["Formulation", "build_formulation", "formulation"]
