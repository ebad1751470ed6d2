"""SMAC's random forest with ParEGO, intensified by Hyperband with a factor of 3 and at least 2
epochs. Ten configurations are random, as with the sampler `curves`."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from ConfigSpace import ConfigurationSpace, Float, Integer
from smac import MultiFidelityFacade, Scenario
from smac.multi_objective.parego import ParEGO
from smac.runhistory.dataclasses import TrialValue
from table import Table

table = Table()
space = ConfigurationSpace(seed=table.seed)
for name, kind, low, high in table.dimensions:
    whole = kind == "int"
    bounds = (int(low), int(high)) if whole else (float(low), float(high))
    make = Integer if whole else Float
    space.add(make(name, bounds, log=kind == "loguniform"))


def unused(config: Any, seed: int = 0, budget: float = 0.0) -> float:
    """The facade asks for a function; trials are asked for and told."""
    return 0.0


with tempfile.TemporaryDirectory() as folder:
    scenario = Scenario(
        space,
        objectives=table.objectives,
        n_trials=10**6,
        min_budget=table.epochs / 27,
        max_budget=table.epochs,
        deterministic=True,
        seed=table.seed,
        output_directory=Path(folder),
    )
    smac = MultiFidelityFacade(
        scenario,
        unused,
        multi_objective_algorithm=ParEGO(scenario),
        initial_design=MultiFidelityFacade.get_initial_design(scenario, n_configs=10),
        intensifier=MultiFidelityFacade.get_intensifier(
            scenario, eta=3, incumbent_selection="highest_budget"
        ),
        overwrite=True,
        logging_level=40,
    )
    while True:
        info = smac.ask()
        values = {k: float(v) for k, v in dict(info.config).items()}
        key = repr(sorted(values.items()))
        curve = table.train(key, values, max(round(info.budget), 1))
        smac.tell(info, TrialValue(cost=curve[-1], time=1.0))
