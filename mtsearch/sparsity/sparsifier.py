"""Sparsification of the search phase: a rule applied a few times per epoch, and zero rows that stay
zero."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mtsearch.config.errors import BadInput
from mtsearch.config.sparsity import SparsityRuleConfig
from mtsearch.sparsity.growl import growl_weights, owl_value
from mtsearch.sparsity.rows import prunable_layers, row_norms, scale_rows_
from mtsearch.sparsity.rules import build_rule


class Sparsifier:
    """Zeroes rows of the prunable layers while a search phase runs.

    Call `after_step` after every optimiser step. A zero row is set to zero again after each step,
    so that the optimiser's momentum does not change it; the optimiser itself is not changed. Under
    data parallelism every rank does the same from the same weights.

    Args:
        model: the network; its weights are changed in place.
        prunable: names of its Linear and ungrouped Conv2d modules whose rows may become zero.
        config: the settings; their registered rule decides what an application does.
        total_steps: optimiser steps of the search phase.
        steps_per_epoch: optimiser steps of one epoch; an epoch sees ``config.applications``
            applications (at most one per step), the last at its end.

    Raises:
        BadInput: a search phase without steps, or settings without a rule.
        ValueError: a prunable name that is no such module.
    """

    def __init__(
        self,
        model: nn.Module,
        prunable: Sequence[str],
        config: SparsityRuleConfig,
        total_steps: int,
        steps_per_epoch: int,
    ) -> None:
        if total_steps < 1 or steps_per_epoch < 1:
            raise BadInput(
                "`trial.epochs.search` should give at least one step to `trial.sparsity`. Found"
                f" {total_steps} steps; raise it or use `trial.sparsity=none`."
            )
        self.config = config
        self.layers = prunable_layers(model, prunable)
        self.total_steps = total_steps
        self.steps_per_epoch = steps_per_epoch
        self._rule = build_rule(config)
        self._zero: dict[str, Tensor] = {}  # indices of zero rows; only layers that have some

    @property
    def zero(self) -> dict[str, Tensor]:
        """The indices (int64) of the rows held at zero, by layer; layers without any are
        omitted."""
        return dict(self._zero)

    def due(self, step: int) -> bool:
        """Whether the rule is applied after step number `step` (from 1)."""
        times = self.config.applications
        return (
            step == self.total_steps
            or step * times // self.steps_per_epoch > (step - 1) * times // self.steps_per_epoch
        )

    def after_step(self, step: int) -> None:
        """Set zero rows to zero again and apply the rule where it is due, after optimiser step
        number `step` (from 1) of the search phase.

        Neither rule scales its strength by the learning rate: one is set by the number of rows, the
        other is the papers' form.
        """
        if step < 1:
            raise ValueError(f"Parameter `step` should count from 1. Found {step}.")
        # first, so that the rule sees zero rows as zero and not as the optimiser changed them
        self.hold()
        if self.due(step):
            self.apply(step / self.total_steps)

    @torch.no_grad()
    def apply(self, progress: float) -> None:
        """Apply the rule to every layer, `progress` in (0, 1] being the share of the search phase
        that is over."""
        for name, layer in self.layers.items():
            norms = row_norms(layer.weight).to("cpu", torch.float64)
            after = self._rule(norms, progress)
            scale_rows_(layer.weight, torch.where(norms > 0, after / norms, 0.0))
            rows = (after == 0).nonzero().flatten()
            if len(rows):
                self._zero[name] = rows.to(layer.weight.device)

    @torch.no_grad()
    def hold(self, model: nn.Module | None = None) -> None:
        """Set the zero rows to zero again, in the model or in a copy of it (an average of its
        weights, say)."""
        for name, rows in self._zero.items():
            layer = self.layers[name] if model is None else model.get_submodule(name)
            layer.weight.index_fill_(1, rows, 0.0)  # type: ignore[operator]

    @torch.no_grad()
    def penalty(self) -> float:
        """GrOWL's penalty over the prunable layers: the sparsity objective's value."""
        values = []
        for layer in self.layers.values():
            norms = row_norms(layer.weight).double()
            values.append(
                owl_value(
                    norms,
                    growl_weights(
                        len(norms), self.config.pattern, self.config.beta1, self.config.beta2
                    ),
                )
            )
        return float(sum(values))

    def state_dict(self) -> dict[str, Tensor]:
        """The indices of the zero rows by layer; with the model's weights enough to continue
        bit-identically."""
        return {name: rows.cpu() for name, rows in self._zero.items()}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Restore the result of `state_dict`. Raises ValueError for layers the model lacks."""
        unknown = sorted(set(state) - set(self.layers))
        if unknown:
            raise ValueError(f"State of `Sparsifier` should name prunable layers. Found {unknown}.")
        self._zero = {
            name: rows.to(self.layers[name].weight.device) for name, rows in state.items()
        }
