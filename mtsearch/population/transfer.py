"""The initial state of a visitor, from its task's own state and the donor's, and the merge of an
accepted state into a task's state."""

from __future__ import annotations

import re

import torch
from torch import Tensor

from mtsearch.config.cards import TaskCard
from mtsearch.config.errors import BadInput
from mtsearch.config.population import MTOConfig
from mtsearch.population.state import MemberState

# prefix of the names of a head's tensors in every architecture that populations support
HEAD = "heads."


def same_head(a: TaskCard, b: TaskCard) -> bool:
    """Return whether the heads of two tasks are interchangeable: equal kind, outputs, classes."""
    return (a.kind, a.outputs, a.classes) == (b.kind, b.outputs, b.classes)


def needs_own_state(settings: MTOConfig) -> bool:
    """Return whether a visitor can keep a part of its task's own state."""
    merged = settings.merge != "replace" and settings.merge_at == "start"
    return merged or settings.layers != "all" or settings.head_policy == "keep"


def taken(settings: MTOConfig, names: list[str], heads_agree: bool) -> set[str]:
    """Return the names of the tensors that a visitor takes from a donor."""
    keep_head = settings.head_policy == "keep" or (
        settings.head_policy == "auto" and not heads_agree
    )
    found = set()
    for name in names:
        head = name.startswith(HEAD)
        if settings.layers in ("all", "backbone", "head"):
            inside = settings.layers == "all" or head == (settings.layers == "head")
        else:
            inside = re.search(settings.layers, name) is not None
        if inside and not (head and keep_head):
            found.add(name)
    return found


def check_layers(settings: MTOConfig, names: list[str]) -> None:
    """Raise BadInput if visitors would take no tensor of a network with these tensor names."""
    if settings.group_size > 1 and not taken(settings, names, heads_agree=True):
        parts = ", ".join(dict.fromkeys(name.partition(".")[0] for name in names))
        raise BadInput(
            "`trial.population.layers` should match the name of some tensor of the network, whose"
            f" parts are {parts}. Found `{settings.layers}`."
        )


def start(
    settings: MTOConfig, own: MemberState, donor: MemberState, heads_agree: bool
) -> MemberState:
    """Return the state from which a visitor trains.

    - ``merge: replace``, and all merges with ``merge_at: acceptance``, take the donor's tensors.
    - ``lerp`` interpolates between the own tensors and the donor's, including optimiser moments,
      with weight `alpha` for the donor. An `alpha` of 0 or 1 gives one of the two states exactly.
      Integer buffers are the donor's unless `alpha` is 0.
    - ``conv_lerp`` interpolates only the weights of convolutions. All other tensors, including the
      moments, are the own ones.

    ``optimiser_state: copy`` takes the moments and the optimiser settings (learning rate, momentum,
    ...) of the donor, ``momentum_only`` only the moments, and ``reset`` starts without moments.

    Args:
        settings: the settings of the population.
        own: the state of the visitor's task.
        donor: the state of the donor.
        heads_agree: whether the heads of the two tasks are interchangeable.
    """
    at_start = settings.merge_at == "start"
    alpha = settings.alpha if at_start and settings.merge != "replace" else 1.0
    names = taken(settings, list(own.model), heads_agree)
    if at_start and settings.merge == "conv_lerp":
        return _convolutions(own, donor, names, alpha, settings.optimiser_state == "reset")
    model = {
        name: _between(value, donor.model[name], alpha) if name in names else value
        for name, value in own.model.items()
    }
    if settings.optimiser_state == "reset":
        return MemberState(model, {}, own.optimizer)
    if alpha == 0 or not names:
        return MemberState(model, own.moments, own.optimizer)
    moments = _moments(own, donor, names, alpha)
    return MemberState(
        model, moments, donor.optimizer if settings.optimiser_state == "copy" else own.optimizer
    )


def accepted(settings: MTOConfig, before: MemberState, winner: MemberState) -> MemberState:
    """Return the new state of a task that accepts a member's state `winner`.

    With ``merge_at: start`` it is `winner`. With ``merge_at: acceptance`` it is interpolated
    between the task's state `before` the round and `winner`, with weight `alpha` for `winner`.
    ``conv_lerp`` interpolates only the weights of convolutions and keeps everything else of
    `before`, including the optimiser (chapter 4 of Zhang's thesis, where only the extreme
    values of `alpha` were run). ``lerp`` interpolates all tensors, including moments, and takes the
    optimiser settings of `winner`.
    """
    if settings.merge_at == "start" or settings.merge == "replace":
        return winner
    names, alpha = set(before.model), settings.alpha
    if settings.merge == "conv_lerp":
        return _convolutions(before, winner, names, alpha, False)
    if alpha == 0:
        return before
    model = {
        name: _between(value, winner.model[name], alpha) for name, value in before.model.items()
    }
    return MemberState(model, _moments(before, winner, names, alpha), winner.optimizer)


def _convolutions(
    own: MemberState, donor: MemberState, names: set[str], alpha: float, reset: bool
) -> MemberState:
    moved = {name for name in names if own.model[name].ndim == 4}
    model = {
        name: _between(value, donor.model[name], alpha) if name in moved else value
        for name, value in own.model.items()
    }
    return MemberState(model, {} if reset else own.moments, own.optimizer)


def _moments(
    own: MemberState, donor: MemberState, names: set[str], alpha: float
) -> dict[str, dict[str, Tensor]]:
    """Return the optimiser's moments: for the tensors in `names` interpolated between the two
    states, for all others the own ones."""
    moments = {}
    for name in own.model:
        mine, theirs = own.moments.get(name), donor.moments.get(name)
        if name not in names:
            theirs = mine
        if theirs is None or (mine is None and alpha < 0.5):
            continue
        moments[name] = {
            key: _between(mine[key], value, alpha) if mine and key in mine else value
            for key, value in theirs.items()
        }
    return moments


def _between(own: Tensor, donor: Tensor, alpha: float) -> Tensor:
    if alpha == 1:
        return donor
    if alpha == 0:
        return own
    return torch.lerp(own, donor, alpha) if own.is_floating_point() else donor
