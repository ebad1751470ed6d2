"""One set of weights whose biases depend on the preference."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from torch import Tensor, nn

from mtsearch.config.errors import BadInput
from mtsearch.config.pareto_sets import ConditionedConfig
from mtsearch.models import MultiTaskModel
from mtsearch.training.network_set import NetworkSet, add_


class Conditioned(NetworkSet):
    """A network that receives the preference beside its features (COSMOS: Ruchte & Grabocka 2021,
    arXiv 2103.12718, section 4, where it is concatenated to the input).

    A preference p (K,) that is concatenated to the input of a layer with weights V (n, K) for it
    adds ``V p`` to all n outputs, at every position of a map. So the network of p is a plain one
    with ``b(p) = b + V p`` for every bias; other parameters are the same for all preferences. V
    starts at 0, so that all preferences start from the same network.

    Args:
        settings: of the set.
        build: returns a new network, initialised from the k-th seed.
        tasks: the number of tasks K.
    """

    def __init__(
        self, settings: ConditionedConfig, build: Callable[[int], MultiTaskModel], tasks: int
    ) -> None:
        super().__init__()
        self.network = build(0)
        check_biases(self.network)
        parameters = list(self.network.parameters())
        self._biases = biases_of(self.network)
        base = nn.ParameterList(
            nn.Parameter(p.detach().clone(), p.requires_grad) for p in parameters
        )
        changes = nn.ParameterList(
            nn.Parameter(parameters[i].detach().new_zeros(len(parameters[i]), tasks))
            for i in self._biases
        )
        self.trained = nn.ModuleDict({"base": base, "changes": changes})
        for i in self._biases:  # a frozen bias still needs the gradient of its change
            parameters[i].requires_grad_()

    def named_trained(self) -> Iterator[tuple[str, nn.Parameter]]:
        names = [name for name, _ in self.network.named_parameters()]
        yield from zip(names, self._part("base"), strict=True)
        yield from zip([names[i] for i in self._biases], self._part("changes"), strict=True)

    def _part(self, name: str) -> list[nn.Parameter]:
        return list(self.trained.get_submodule(name).parameters())

    def combined(self, preference: Sequence[float]) -> list[Tensor]:
        total = [parameter.detach().clone() for parameter in self._part("base")]
        for i, change in zip(self._biases, self._part("changes"), strict=True):
            total[i] += change @ change.new_tensor(preference)
        return total

    def add_gradients_(self, preference: Sequence[float]) -> None:
        gradients = [parameter.grad for parameter in self.network.parameters()]
        for i, change in zip(self._biases, self._part("changes"), strict=True):
            gradient = gradients[i]
            if gradient is not None:
                add_(change, gradient[:, None] * change.new_tensor(preference))
        for parameter, gradient in zip(self._part("base"), gradients, strict=True):
            if gradient is not None:
                add_(parameter, gradient.clone())


def biases_of(network: nn.Module) -> list[int]:
    """The indices of the biases of layers among the parameters of a network."""
    named = network.named_parameters()
    return [i for i, (name, p) in enumerate(named) if name.endswith("bias") and p.dim() == 1]


def check_biases(network: nn.Module) -> None:
    """Raise BadInput if a network has no bias that could depend on a preference."""
    if not biases_of(network):
        raise BadInput(
            "`trial.pareto_set: conditioned` needs a network with biases. Found none. Use"
            " `weights_line` or `low_rank`."
        )
