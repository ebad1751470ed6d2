"""mtsearch: search over multi-task networks, ending in a Pareto front of tested, deployable models.

>>> import mtsearch
>>> run = mtsearch.search("pareto_cm", trials=20)  # doctest: +SKIP
>>> run.front.to_pandas()  # doctest: +SKIP
>>> model = run.pick("knee").load()  # doctest: +SKIP
>>> model.predict(["a.jpg"])  # doctest: +SKIP
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from mtsearch.api import load_run as load_run
    from mtsearch.api import load_space as load_space
    from mtsearch.api import prepare_data as prepare_data
    from mtsearch.api import resume as resume
    from mtsearch.api import search as search
    from mtsearch.api import train_one as train_one
    from mtsearch.config.errors import BadInput as BadInput
    from mtsearch.config.trial import TrialConfig as TrialConfig
    from mtsearch.deploy.module import export_module as export_module
    from mtsearch.jobs.run import Run as Run
    from mtsearch.training.trial import Trial as Trial

_PUBLIC = {
    "BadInput": "mtsearch.config.errors",
    "Run": "mtsearch.jobs.run",
    "Trial": "mtsearch.training.trial",
    "TrialConfig": "mtsearch.config.trial",
    "export_module": "mtsearch.deploy.module",
    "load_run": "mtsearch.api",
    "load_space": "mtsearch.api",
    "prepare_data": "mtsearch.api",
    "resume": "mtsearch.api",
    "search": "mtsearch.api",
    "train_one": "mtsearch.api",
}
"""Where each public name is defined. It is imported at its first use: `import mtsearch` loads
neither torch nor Ray."""

__all__ = ["__version__", *_PUBLIC]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module `mtsearch` has no attribute `{name}`")
    value = getattr(importlib.import_module(_PUBLIC[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
