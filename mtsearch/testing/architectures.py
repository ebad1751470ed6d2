"""Conformance suite for architectures."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mtsearch.config.base import Model
from mtsearch.config.cards import TaskCard
from mtsearch.config.schema import BackboneCMConfig
from mtsearch.models import MultiTaskModel, build_model
from mtsearch.tasks import task_loss
from mtsearch.testing.samples import TASKS, Shape, close, images, names_of, same, seeded, targets


class ArchitectureConformance:
    """Tests of an architecture. Set `settings`, and other attributes if it does not support their
    defaults.

    Attributes:
        settings: the settings model of the architecture.
        backbone: the settings of a backbone that it supports.
        shape: (channels, height, width) of the images.
        tasks: at least two tasks of kinds that it supports.
    """

    settings: Model
    backbone: Model = BackboneCMConfig()
    shape: Shape = (3, 16, 16)
    tasks: Sequence[TaskCard] = TASKS

    def model(self, seed: int = 0) -> MultiTaskModel:
        """Return a new network whose batch norms and mixing weights are perturbed, because with
        initial values of 0 or 1 some parts have no effect on the outputs."""
        with seeded(seed):
            model = build_model(self.settings, self.backbone, self.tasks, self.shape)
            model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
            with torch.no_grad():
                for parameter in model.parameters():
                    if parameter.requires_grad and parameter.dim() <= 1:
                        parameter.add_(0.1 * torch.randn_like(parameter))
        return model

    def losses(
        self, model: MultiTaskModel, x: Tensor, tasks: Sequence[str] | None = None
    ) -> dict[str, Tensor]:
        """Return the mean training losses of the named tasks, including extra losses."""
        shared = model.share(x, tasks)
        outputs, extra = model.decode(x, shared, tasks), model.extra_losses(x, shared, tasks)
        found = {}
        for task in self.tasks:
            if task.name in outputs:
                total, count = task_loss(
                    task, outputs[task.name], targets(task, outputs[task.name])
                )
                found[task.name] = total / count + extra.get(task.name, 0)
        return found

    def test_outputs_have_the_shapes_of_the_tasks(self) -> None:
        x = images(self.shape)
        outputs = self.model().eval()(x)
        assert list(outputs) == names_of(self.tasks), (
            f"there should be one output per task, in the order of the cards. Found {list(outputs)}"
        )
        known: dict[str, tuple[int, ...]] = {"classification": (), "segmentation": self.shape[1:]}
        for task in self.tasks:
            output = outputs[task.name]
            assert len(output) == len(x) and bool(torch.isfinite(output).all()), (
                f"`{task.name}` should have {len(x)} finite outputs"
            )
            if task.kind in known:
                assert output.shape[1:] == (
                    task.outputs,
                    *known[task.kind],
                ), f"`{task.name}` has outputs of shape {tuple(output.shape)}"

    def test_forward_is_decode_after_share(self) -> None:
        model, x = self.model().eval(), images(self.shape)
        outputs, decoded = model(x), model.decode(x, model.share(x))
        assert all(same(outputs[name], decoded[name]) for name in outputs)

    def test_single_task_forward_gives_only_its_outputs(self) -> None:
        model, x = self.model().eval(), images(self.shape)
        outputs = model(x)
        for name in names_of(self.tasks):
            alone = model(x, [name])
            assert list(alone) == [name], f"outputs should be `{name}` only. Found {list(alone)}"
            assert close(alone[name], outputs[name]), (
                f"the output of `{name}` alone differs from its output among all tasks"
            )

    def test_gradients_through_shared_features_match_full_backward(self) -> None:
        """Backpropagating the gradient with respect to the shared features through the trunk gives
        the gradient of the trunk. Methods at `level: feature` rely on this."""
        model, x = self.model().eval(), images(self.shape)
        torch.stack(list(self.losses(model, x).values())).sum().backward()
        expected = {name: p.grad for name, p in model.named_parameters()}
        model.zero_grad(set_to_none=True)
        shared = model.share(x)
        leaves = [feature.detach().requires_grad_() for feature in shared]
        outputs, extra = model.decode(x, leaves), model.extra_losses(x, leaves)
        pairs = [
            (task, task_loss(task, outputs[task.name], targets(task, outputs[task.name])))
            for task in self.tasks
        ]
        torch.stack(
            [total / count + extra.get(task.name, 0) for task, (total, count) in pairs]
        ).sum().backward()
        used = [
            (feature, leaf.grad)
            for feature, leaf in zip(shared, leaves, strict=True)
            if leaf.grad is not None
        ]
        assert model.separate or len(used) == len(shared), (
            "every shared feature should be read by some task"
        )
        trained = [pair for pair in used if pair[0].requires_grad]  # not those of a frozen trunk
        if trained:
            torch.autograd.backward(
                [feature for feature, _ in trained], [gradient for _, gradient in trained]
            )
        for name, parameter in model.named_parameters():
            gradient = expected[name]
            assert (parameter.grad is None) == (gradient is None), (
                f"`{name}` has a gradient with only one of the two methods"
            )
            assert (
                gradient is None or parameter.grad is None or close(parameter.grad, gradient, 1e-4)
            ), f"`{name}` has a different gradient"

    def test_features_of_sole_trunks_replace_the_images(self) -> None:
        """A network that reads images through its trunks alone has the same outputs for their
        features without the images."""
        model, x = self.model().eval(), images(self.shape)
        if model.sole_trunks():
            expected, found = model(x), model.decode(x[:, :0], model.trunk_features(x))
            for name, value in expected.items():
                assert close(found[name], value, 1e-6), f"`{name}` reads more than the features"

    def test_parameters_belong_to_all_or_to_one_task(self) -> None:
        model = self.model()
        parts = [
            model.shared_parameters(),
            *(model.task_parameters(name) for name in names_of(self.tasks)),
        ]
        listed = [id(p) for part in parts for p in part]
        assert len(listed) == len(set(listed)), "a parameter is listed twice"
        missing = [
            name for name, p in model.named_parameters() if p.requires_grad and id(p) not in listed
        ]
        assert not missing, f"these parameters are neither shared nor of a task: {missing}"
        foreign = set(listed) - {id(p) for p in model.parameters()}
        assert not foreign, "a listed parameter does not belong to the model"

    def test_every_parameter_is_trained(self) -> None:
        model = self.model().train()
        torch.stack(list(self.losses(model, images(self.shape)).values())).sum().backward()
        idle = [name for name, p in model.named_parameters() if p.requires_grad and p.grad is None]
        assert not idle, f"no task uses {idle}"

    def test_mixed_precision_trains_every_parameter(self) -> None:
        """Layers compute in bfloat16, losses and gradients are float32."""
        model, x = self.model().train(), images(self.shape)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            shared = model.share(x)
            outputs, extra = model.decode(x, shared), model.extra_losses(x, shared)
        losses = [
            task_loss(task, outputs[task.name], targets(task, outputs[task.name]))[0]
            for task in self.tasks
        ]
        torch.stack([*losses, *extra.values()]).sum().backward()
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                assert parameter.grad is not None and bool(parameter.grad.isfinite().all()), (
                    f"`{name}` gets {parameter.grad}"
                )
                assert parameter.grad.dtype == torch.float32, (
                    f"`{name}` gets a gradient in {parameter.grad.dtype}"
                )

    def test_single_task_step_leaves_other_tasks_untouched(self) -> None:
        """Other tasks must not get zero gradients either, because optimisers with momentum would
        update their parameters."""
        for name in names_of(self.tasks):
            model = self.model().train()
            self.losses(model, images(self.shape), [name])[name].backward()
            assert any(p.grad is not None for p in model.parameters()), f"`{name}` trains nothing"
            for other in names_of(self.tasks):
                touched = [p for p in model.task_parameters(other) if p.grad is not None]
                assert other == name or not touched, (
                    f"a step on `{name}` reaches {len(touched)} parameters of `{other}`"
                )

    def test_evaluation_changes_nothing_and_draws_nothing(self) -> None:
        model, x = self.model(), images(self.shape)
        before = {key: value.clone() for key, value in model.state_dict().items()}
        model.eval()
        with torch.no_grad():
            first, generator = model(x), torch.get_rng_state()
            second = model(x)
        assert torch.equal(generator, torch.get_rng_state()), "eval mode drew random numbers"
        assert all(same(first[name], second[name]) for name in first), (
            "eval mode gives other outputs the second time"
        )
        changed = [key for key, value in model.state_dict().items() if not same(value, before[key])]
        assert not changed, f"eval mode changed {changed}"

    def test_state_dict_restores_the_outputs(self) -> None:
        model, x = self.model().train(), images(self.shape)
        model(x)  # running statistics move
        fresh = self.model(seed=5)
        fresh.load_state_dict(model.state_dict(), strict=True)
        copied = copy.deepcopy(model)
        first, second, third = model.eval()(x), fresh.eval()(x), copied.eval()(x)
        assert all(
            same(first[name], second[name]) and same(first[name], third[name]) for name in first
        )

    def test_networks_are_seeded(self) -> None:
        one, two, other = (self.model(seed).state_dict() for seed in (3, 3, 4))
        assert all(same(one[key], two[key]) for key in one), "equal seeds made different networks"
        assert not all(same(one[key], other[key]) for key in one), (
            "different seeds made equal networks"
        )

    def test_prunable_names_are_layers_between_image_and_outputs(self) -> None:
        model, x = self.model().eval(), images(self.shape)
        layers = {name: model.get_submodule(name) for name in model.prunable}
        assert len(layers) == len(model.prunable), "a name is listed twice"
        seen: dict[str, tuple[Tensor, Any]] = {}
        for name, layer in layers.items():
            assert type(layer) in (
                nn.Conv2d,
                nn.Linear,
            ), f"`{name}` is a {type(layer).__name__}, not a Conv2d or Linear"
            assert getattr(layer, "groups", 1) == 1, (
                f"`{name}` is a grouped convolution, whose input rows are not its own"
            )

            def record(
                module: nn.Module, inputs: tuple[Any, ...], output: Any, name: str = name
            ) -> None:
                seen[name] = (inputs[0], output)

            layer.register_forward_hook(record)
        outputs = list(model(x).values())
        for name, (read, written) in seen.items():
            assert read.shape != x.shape or not torch.equal(read, x), f"`{name}` reads the image"
            assert not any(written is output for output in outputs), f"`{name}` is a head"
        unused = sorted(set(layers) - set(seen))
        assert not unused, f"these prunable layers are not called: {unused}"

    def test_outputs_are_independent_of_the_batch(self) -> None:
        model, x = self.model().eval(), images(self.shape)
        together, alone = model(x), model(x[1:2])
        assert all(close(together[name][1:2], alone[name]) for name in together)
        plain = model(x.contiguous())
        assert all(close(together[name], plain[name]) for name in together), (
            "the outputs depend on the memory format of the images"
        )
