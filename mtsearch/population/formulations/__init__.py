"""Formulations: how auxiliary tasks are derived from a target. Importing this package registers
them; a formulation is one file."""

from mtsearch.population.formulations import (  # noqa: F401  (importing registers them)
    bootstrap,
    class_subset,
    dataset,
    holdout,
    hyperparameters,
    kfold,
    loss,
    mixup_in_class,
    optimizer,
    seed,
)
from mtsearch.population.formulations.base import Formulation, build_formulation, formulation

__all__ = ["Formulation", "build_formulation", "formulation"]
