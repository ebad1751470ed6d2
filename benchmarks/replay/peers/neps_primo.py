"""NePS's PriMO, without priors: MOASHA with promotions for the epochs of seven full trainings, then
a Gaussian process on one random weighting of the objectives."""

from __future__ import annotations

import logging

import numpy as np
import torch
from neps.optimizers.algorithms import primo
from neps.optimizers.ask_and_tell import AskAndTell
from neps.space import HPOFloat, HPOInteger, SearchSpace
from table import Table

logging.disable(logging.WARNING)
table = Table()
torch.manual_seed(table.seed)
np.random.seed(table.seed)
torch.set_num_threads(1)
parameters = {"epoch": HPOInteger(3, table.epochs, is_fidelity=True)}
for name, kind, low, high in table.dimensions:
    if kind == "int":
        parameters[name] = HPOInteger(int(low), int(high))
    else:
        parameters[name] = HPOFloat(float(low), float(high), log=kind == "loguniform")
optimizer = AskAndTell(primo(SearchSpace(parameters), prior_centers={}))
while True:
    trial = optimizer.ask()
    values = {k: float(v) for k, v in trial.config.items() if k != "epoch"}
    number, rung, _ = trial.id.partition("_")  # no rung after the initial design
    curve = table.train(f"{number}{rung}", values, int(trial.config["epoch"]))
    optimizer.tell(trial, {"objective_to_minimize": [float(v) for v in curve[-1]]})
