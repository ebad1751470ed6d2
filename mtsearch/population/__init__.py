"""Populations: networks that train concurrently and exchange their states (multi-task
optimisation)."""

from mtsearch.population.factory import (
    build_trial,
    check_trial,
    restore_trial,
    total_epochs_of,
    trial_class_for,
)
from mtsearch.population.formulations import Formulation, formulation
from mtsearch.population.population import Population

__all__ = [
    "Formulation",
    "Population",
    "build_trial",
    "check_trial",
    "formulation",
    "restore_trial",
    "total_epochs_of",
    "trial_class_for",
]
