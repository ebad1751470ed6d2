"""Syne Tune's MOASHA, with the rungs of mtsearch's scheduler."""

from __future__ import annotations

import datetime

import numpy as np
from syne_tune.backend.trial_status import Trial
from syne_tune.config_space import loguniform, randint, uniform
from syne_tune.optimizer.scheduler import SchedulerDecision
from syne_tune.optimizer.schedulers.multiobjective.moasha import MOASHA
from table import Table

KINDS = {"int": randint, "uniform": uniform, "loguniform": loguniform}

table = Table()
np.random.seed(table.seed)
scheduler = MOASHA(
    config_space={name: KINDS[kind](low, high) for name, kind, low, high in table.dimensions},
    metrics=table.objectives,
    time_attr="epoch",
    max_t=table.epochs,
    grace_period=3,
    reduction_factor=2,
    random_seed=table.seed,
)
number = 0
while True:
    config = scheduler.suggest().config
    trial = Trial(number, config, datetime.datetime.now())
    scheduler.on_trial_add(trial)
    for epoch in range(1, table.epochs + 1):
        values = table.train(str(number), config, epoch)[-1]
        result = {"epoch": epoch, **dict(zip(table.objectives, values, strict=True))}
        if epoch == table.epochs:
            scheduler.on_trial_complete(trial, result)
        elif scheduler.on_trial_result(trial, result) == SchedulerDecision.STOP:
            break
    number += 1
