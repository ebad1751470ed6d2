"""How a visitor begins a round, between its task's own state and a donor's, and how a task takes a
visitor's."""

from __future__ import annotations

import re

import torch
from torch import Tensor

from mtsearch.config.cards import TaskCard
from mtsearch.config.errors import BadInput
from mtsearch.config.population import MTOConfig
from mtsearch.population.state import MemberState

HEAD = (  # how the names of a head's tensors begin, in every architecture that a population takes
    "heads."
)


def same_head(a: TaskCard, b: TaskCard) -> bool:
    """Whether two tasks' heads answer the same question: equal kinds, outputs and label lists."""
    return (a.kind, a.outputs, a.classes) == (b.kind, b.outputs, b.classes)


def needs_own_state(settings: MTOConfig) -> bool:
    """Whether a visitor may keep a part of its task's own state."""
    merged = settings.merge != "replace" and settings.merge_at == "start"
    return merged or settings.layers != "all" or settings.head_policy == "keep"


def taken(settings: MTOConfig, names: list[str], heads_agree: bool) -> set[str]:
    """The names of the tensors that a visitor takes of a donor."""
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
    """Raises BadInput where visitors would take nothing of a network with tensors of these
    names."""
    if settings.group_size > 1 and not taken(settings, names, heads_agree=True):
        parts = ", ".join(dict.fromkeys(name.partition(".")[0] for name in names))
        raise BadInput(
            "`trial.population.layers` should match the name of some tensor of the network, whose"
            f" parts are {parts}. Found `{settings.layers}`."
        )


def start(
    settings: MTOConfig, own: MemberState, donor: MemberState, heads_agree: bool
) -> MemberState:
    """The state from which a visitor trains.

    ``replace`` takes the donor's tensors, as all do with ``merge_at: acceptance``; ``lerp`` goes
    `alpha` of the way from its own to the donor's, optimiser moments included; ``conv_lerp`` does
    so for the weights of convolutions alone and leaves the rest, the moments too, its own. At 0 and
    1 ``lerp`` gives one of the two exactly. Whole-numbered buffers are the donor's unless `alpha`
    is 0. ``optimiser_state``: ``copy`` takes the donor's settings (its learning rate, momentum,
    ...) besides the moments, ``momentum_only`` the moments alone, ``reset`` begins without moments.
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
    """What a task becomes when it takes a member's state: that one, or with ``merge_at:
    acceptance`` `alpha` of the way from its own `before` the round to it.

    ``conv_lerp`` moves the weights of convolutions and leaves the rest, the optimiser too, as it
    was before the round: chapter 4 of Zhang's thesis (2.4), where it was never run but at its ends.
    ``lerp`` moves all, moments included, and takes the winner's settings.
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
    """The optimiser's moments of the tensors in `names` between the two states, the others its
    own."""
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
