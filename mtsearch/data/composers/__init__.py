"""The composers of datasets. Importing this package registers them."""

from mtsearch.data.composers import (
    cifar10_mnist,
    classification,
    degraded,
    disjoint,
    drawn_scenes,
    multimnist,
    scenes_masks,
    table,
)
from mtsearch.data.composers.base import (
    COMPOSERS,
    Composer,
    Cut,
    Side,
    check_classes,
    composer,
    need_tasks,
    read_source,
)

__all__ = [
    "COMPOSERS",
    "Composer",
    "Cut",
    "Side",
    "check_classes",
    "cifar10_mnist",
    "classification",
    "composer",
    "degraded",
    "disjoint",
    "drawn_scenes",
    "multimnist",
    "need_tasks",
    "read_source",
    "scenes_masks",
    "table",
]
