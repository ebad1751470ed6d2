"""The network that a population returns at its end."""

from __future__ import annotations

import math

from torch import Tensor

from mtsearch.config.population import MTOConfig
from mtsearch.population.member import MemberTrainer
from mtsearch.population.rounds import Rounds
from mtsearch.population.state import average
from mtsearch.training.state import to_device
from mtsearch.training.world import World


def final_weights(
    settings: MTOConfig, rounds: Rounds, trainer: MemberTrainer, world: World
) -> dict[str, Tensor] | None:
    """Return the weights on rank 0, and None on other ranks. All ranks call this.

    With ``final: target_best`` they are the target's snapshot at its lowest loss. With
    ``best_across`` they are the snapshot, among those of all tasks, with the lowest mean of the
    target's loss over the hold-outs of all tasks; the lowest task wins ties (as in the abstract of
    Zhang et al. 2020). With ``average`` they are the mean of the last states of all tasks.
    """
    if settings.final == "target_best":
        return rounds.snapshots.get(0)
    if settings.final == "average":
        moved = [
            world.send(
                rounds.states[i].model if i in rounds.states else None,
                rounds.members.rank((i, 0)),
                0,
            )
            for i in range(len(rounds.tasks))
        ]
        return (
            average([to_device(weights, trainer.device) for weights in moved])
            if world.rank == 0
            else None
        )
    target = rounds.tasks[0]
    hold_outs = [task.hold_out for task in rounds.tasks]
    if all(part.equal(hold_outs[0]) for part in hold_outs):
        hold_outs = hold_outs[:1]
    means = {}
    for i, weights in rounds.snapshots.items():
        losses = [trainer.metrics(target, weights, part)["loss"] for part in hold_outs]
        means[i, 0] = [sum(losses) / len(losses)]
    table = rounds.members.gather(means, 1)
    best = min(
        range(len(rounds.tasks)),
        key=lambda i: math.inf if math.isnan(table[i, 0][0]) else table[i, 0][0],
    )
    found = world.send(rounds.snapshots.get(best), rounds.members.rank((best, 0)), 0)
    return None if found is None else to_device(found, trainer.device)
