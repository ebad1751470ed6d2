"""The JSON schema of a space's file, for editors.

A file may leave out what a profile, an override or a default gives; every key below `trial` may be
a search dimension; every value may be a reference ``${key.path}``. The schema allows all of that,
so that it is wider than the validation of `Space`.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from mtsearch.config.dimensions import KINDS
from mtsearch.config.registry import methods, tag_of
from mtsearch.config.schema import ControlSearch, SpaceConfig, TrialConfig

Schema = dict[str, Any]

_REFERENCE: Schema = {
    "type": "string",
    "pattern": r"\$\{[^}]+\}",
    "description": "the value of another key, such as ${trial.batch_size}",
}
_NUMBERS: Schema = {
    "type": "array",
    "items": {"type": "number"},
    "minItems": 2,
    "maxItems": 2,
    "description": "[low, high]",
}
_SPECS: dict[str, Schema] = {
    "choice": {"anyOf": [{"type": "array", "minItems": 1}, _REFERENCE]},
    "uniform": _NUMBERS,
    "loguniform": _NUMBERS,
    "int": {**_NUMBERS, "items": {"type": "integer"}},
    "simplex": {"type": "array", "items": {"type": "string"}, "minItems": 2},
    "partition": {"type": "array", "minItems": 2},
}
_DIMENSION: Schema = {
    "description": "a search dimension",
    "anyOf": [
        {
            "type": "object",
            "properties": {kind: _SPECS[kind], "default": {}},
            "required": [kind, "default"],
            "additionalProperties": False,
        }
        for kind in KINDS
    ],
}
_DRAFT = "https://json-schema.org/draft/2020-12/schema"


def space_schema() -> Schema:
    """The JSON schema (draft 2020-12) of a space's file, with all registered methods."""
    builder = _Builder()
    builder.add(TrialConfig, searched=True)
    builder.add(SpaceConfig, searched=False)
    builder.add(ControlSearch, searched=False)
    space = builder.definitions["SpaceConfig"]["properties"]
    trial = {"$ref": "#/$defs/TrialConfig"}
    nothing = {"type": "null"}
    space["trial"] = trial
    control = builder.definitions["TrialConfig"]
    builder.definitions["Control"] = {
        **control,
        "properties": {
            **control["properties"],
            "search": {"anyOf": [{"$ref": "#/$defs/ControlSearch"}, nothing]},
        },
    }
    space["controls"] = _mapping({"anyOf": [{"$ref": "#/$defs/Control"}, nothing]})
    space["profiles"] = _mapping({"anyOf": [{"$ref": "#/$defs/SpaceConfig"}, nothing]})
    space["plugins"] = _one_or_more({"type": "string"})
    space["monitor"] = {"anyOf": [builder.method("observer", False), space["monitor"]]}
    space["objectives"] = _one_or_more(
        {"anyOf": [{"type": "string"}, {"$ref": "#/$defs/Objective"}]}
    )
    search = builder.definitions["Search"]["properties"]
    for key in ("sampler", "scheduler"):
        names = builder.definitions[key.capitalize()]["properties"]["name"]
        search[key] = {"anyOf": [names, search[key]]}
    return {
        "$schema": _DRAFT,
        "title": "A space of mtsearch",
        "$ref": "#/$defs/SpaceConfig",
        "required": ["data", "objectives"],
        "$defs": dict(sorted(builder.definitions.items())),
    }


class _Builder:
    """Collects the definitions of models and of the methods that they name."""

    def __init__(self) -> None:
        self.definitions: dict[str, Schema] = {"Dimension": _DIMENSION, "Reference": _REFERENCE}

    def add(self, model: type[BaseModel], searched: bool) -> Schema:
        """A reference to the definition of a model, which is made at the first time. Below `trial`
        values may be `searched`."""
        name = model.__name__
        if name not in self.definitions:
            found = model.model_json_schema(ref_template="#/$defs/{model}")
            for key, inner in found.pop("$defs", {}).items():
                if key not in self.definitions:
                    self.definitions[key] = {}
                    self.definitions[key] = self._relax(inner, searched)
            self.definitions[name] = {}
            self.definitions[name] = self._relax(found, searched)
        return {"$ref": f"#/$defs/{name}"}

    def method(self, kind: str, searched: bool, optional: bool = False) -> Schema:
        """What names a method: its name, or its settings."""
        known = methods(kind)
        settings = []
        for name, model in known.items():
            reference = self.add(model, searched)
            settings.append(reference)
            definition = self.definitions[model.__name__]
            if definition:
                definition["properties"][tag_of(kind)] = {"const": name}
        parts: list[Schema] = [{"enum": list(known)}, *settings]
        return {"anyOf": [*parts, {"type": "null"}] if optional else parts}

    def _relax(self, schema: Schema, searched: bool) -> Schema:
        """An object's schema without required keys, whose values may be references, and dimensions
        where they are `searched`."""
        if "properties" not in schema:
            return schema
        out = {key: part for key, part in schema.items() if key not in ("required", "title")}
        out["properties"] = {
            key: self._value(part, searched) for key, part in schema["properties"].items()
        }
        return out

    def _value(self, schema: Schema, searched: bool) -> Schema:
        described = {key: schema[key] for key in ("description",) if key in schema}
        kept = {
            key: part
            for key, part in schema.items()
            if key not in ("title", "default", "description")
        }
        options = [self._inner(kept, searched), {"$ref": "#/$defs/Reference"}]
        if searched:
            options.append({"$ref": "#/$defs/Dimension"})
        return {**described, "anyOf": options}

    def _inner(self, schema: Schema, searched: bool) -> Schema:
        """A value's schema, in which the values of lists and mappings may be searched, too."""
        if "x-method" in schema:
            return self.method(schema["x-method"], searched, schema["x-optional"])
        out = dict(schema)
        for key in ("anyOf", "prefixItems"):
            if key in out:
                out[key] = [self._inner(part, searched) for part in out[key]]
        for key in ("items", "additionalProperties"):
            if isinstance(out.get(key), dict):
                out[key] = self._value(out[key], searched)
        return out


def _mapping(value: Schema) -> Schema:
    return {"type": ["object", "null"], "additionalProperties": value}


def _one_or_more(value: Schema) -> Schema:
    return {"anyOf": [value, {"type": "array", "items": value}]}
