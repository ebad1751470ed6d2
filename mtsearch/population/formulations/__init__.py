"""Formulations: how auxiliary tasks are derived from a target. Importing this package registers
them; a formulation is one file."""

from mtsearch.population.formulations.base import Formulation, build_formulation, formulation

__all__ = ["Formulation", "build_formulation", "formulation"]
