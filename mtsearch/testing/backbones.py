"""Conformance suite for backbones."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mtsearch.config.base import Model
from mtsearch.models import Backbone, Branch, Need
from mtsearch.models.registry import build_backbone
from mtsearch.testing.samples import Shape, close, images, same, seeded


class BackboneConformance:
    """Tests of a backbone. Set `settings`, and `shapes` if it supports only certain image sizes.

    Attributes:
        settings: the settings model of the backbone.
        shapes: (channels, height, width) of images that it supports; most tests use the first one.
    """

    settings: Model
    shapes: Sequence[Shape] = ((3, 16, 16), (1, 32, 24))

    def backbone(self, shape: Shape | None = None) -> Backbone:
        """Return the backbone for images of a shape."""
        return build_backbone(self.settings, shape or self.shapes[0])

    def branches(self, needs: Sequence[Need], shape: Shape | None = None) -> list[Branch]:
        """Return a new trunk and, for a single need, a new monitor."""
        made = self.backbone(shape)
        with seeded():
            return [made.trunk(needs), *([made.monitor(needs)] if len(needs) == 1 else [])]

    def wanted(self) -> list[tuple[Need, ...]]:
        """Return the combinations of features that heads can read."""
        return (
            [("vector",), ("map",), ("vector", "map"), ("map", "vector")]
            if self.backbone().map_shape is not None
            else [("vector",)]
        )

    def test_branch_outputs_have_the_declared_sizes(self) -> None:
        for shape in self.shapes:
            backbone = self.backbone(shape)
            assert backbone.shape == tuple(shape)
            sizes: dict[str, tuple[int, ...]] = {
                "vector": (backbone.width,),
                "map": backbone.map_shape or (),
            }
            for needs in self.wanted():
                for branch in self.branches(needs, shape):
                    features = branch.eval()(images(shape))
                    found = [tuple(feature.shape[1:]) for feature in features]
                    assert found == [sizes[need] for need in needs], (
                        f"{needs} of {shape} should be {sizes}. Found {found}"
                    )

    def test_branches_have_no_unused_parameters(self) -> None:
        for needs in self.wanted():
            for branch in self.branches(needs):
                branch.train()
                total: Tensor = torch.stack(
                    [feature.square().mean() for feature in branch(images(self.shapes[0]))]
                ).sum()
                if not total.requires_grad:  # a frozen trunk
                    continue
                total.backward()  # type: ignore[no-untyped-call]
                idle = [
                    name
                    for name, p in branch.named_parameters()
                    if p.requires_grad and p.grad is None
                ]
                assert not idle, f"with needs {needs} these parameters are unused: {idle}"

    def test_every_branch_has_parameters_of_its_own(self) -> None:
        made = self.backbone()
        first, second = made.trunk(["vector"]), made.trunk(["vector"])
        assert not {id(p) for p in first.parameters()} & {id(p) for p in second.parameters()}

    def test_branches_are_seeded_and_evaluation_is_pure(self) -> None:
        x = images(self.shapes[0])
        for one, two in zip(self.branches(["vector"]), self.branches(["vector"]), strict=True):
            assert all(
                same(a, b)
                for a, b in zip(one.state_dict().values(), two.state_dict().values(), strict=True)
            )
            one.eval(), two.eval()
            (first,), (second,), (single,) = one(x), two(x), one(x[:1])
            assert same(first, second), "equal branches give different features"
            assert close(first[:1], single), "the features of an image depend on the batch"
            before = two.state_dict()
            assert all(same(value, before[key]) for key, value in one.state_dict().items()), (
                "eval mode changed the branch"
            )

    def test_prunable_rows_do_not_read_the_image(self) -> None:
        x = images(self.shapes[0])
        for branch in self.branches(["vector"]):
            network = nn.ModuleDict({"branch": branch.eval()})
            names = branch.rows("branch")
            assert len(set(names)) == len(names)
            read: set[int] = set()
            for number, name in enumerate(names):
                layer = network.get_submodule(name)
                assert type(layer) in (nn.Conv2d, nn.Linear) and getattr(layer, "groups", 1) == 1, (
                    f"`{name}` should be an ungrouped Conv2d or Linear"
                )

                def record(
                    module: nn.Module,
                    inputs: tuple[Tensor, ...],
                    number: int = number,
                    read: set[int] = read,
                ) -> None:
                    if inputs[0].shape == x.shape and torch.equal(inputs[0], x):
                        read.add(number)

                layer.register_forward_pre_hook(record)
            branch(x)
            assert not read, f"{[names[number] for number in read]} read the image"

    def test_stages_are_those_it_declares(self) -> None:
        backbone, x = self.backbone(), images(self.shapes[0])
        if backbone.stages:
            found = [tuple(stage.shape[1:]) for stage in backbone.trunk(["stages"]).eval()(x)]
            assert found == list(backbone.stages), (
                f"stages should be {list(backbone.stages)}. Found {found}"
            )
