"""The first line of a reference page: whether a method is better than what it is compared with."""

from __future__ import annotations

from collections.abc import Sequence

from mtsearch.pareto.columns import Row
from mtsearch.pareto.result import SearchResult
from mtsearch.pareto.seeds import control_name, paired

_BALANCING = "trial.balancing.name"
_ARCHITECTURE = "trial.architecture.name"
_CONSTANT = "linear"  # a weighted sum with constant weights
_MOST = 6  # names in a sentence


def verdict(result: SearchResult) -> str:
    """One sentence that the data support.

    A method beats tuned constant weights where one of its configurations is better than each
    configuration with constant weights in an objective beyond noise: the 95 % interval of the
    difference, paired by seed, excludes 0. Configurations with one seed have no interval and are
    not compared. Where all compared rows have constant weights, the front is compared with the
    controls instead.
    """
    if result.seeds == 1:
        return "One seed per configuration: this page is no evidence for or against a method."
    done = [row for row in result.rows if row.get("state") == "done"]
    compared = [row for row in done if len(result.members[str(row["trial"])]) > 1]
    constant = [row for row in compared if _method(row) == _CONSTANT]
    methods = {_method(row) for row in compared} - {_CONSTANT, ""}
    if not methods or not constant:
        return _against_controls(result)
    winners = [
        method
        for method in sorted(methods)
        if any(_beats(row, constant, result) for row in compared if _method(row) == method)
    ]
    losers = sorted(methods - set(winners))
    single = sorted({_method(row) for row in done} - methods - {_CONSTANT, ""})
    condition = f"beyond noise (95 % intervals, paired by seed; {result.seeds} seeds)"
    count = len(constant)
    each = f"each of the {count} configurations" if count > 1 else "the one configuration"
    each += " with constant weights"
    found = []
    if winners:
        found.append(f"Better than {each} in an objective {condition}: {_names(winners)}.")
    if losers:
        found.append(
            f"A published method does not beat tuned constant weights here: {_names(losers)}"
            + ("." if winners else f", compared with {each} {condition}.")
        )
    if single:
        found.append(
            f"Not compared, as their first seed was dominated and no other was trained:"
            f" {_names(single)}."
        )
    return " ".join(found)


def _method(row: Row) -> str:
    """The balancing method of a multi-task row; empty for single tasks."""
    if row.get(_ARCHITECTURE) == "stl":
        return ""
    return str(row.get(_BALANCING) or "")


def _beats(row: Row, others: Sequence[Row], result: SearchResult) -> bool:
    """Whether a row is better than each of the others in an objective beyond noise."""
    return all(_better(row, other, result) for other in others)


def _better(row: Row, other: Row, result: SearchResult) -> bool:
    ours, theirs = result.members[str(row["trial"])], result.members[str(other["trial"])]
    for objective in result.objectives:
        mean, half, seeds = paired(ours, theirs, objective.metric)
        if seeds > 1 and (-mean if objective.goal == "max" else mean) + half < 0:
            return True
    return False


def _against_controls(result: SearchResult) -> str:
    condition = f"beyond noise (95 % intervals, paired by seed; {result.seeds} seeds)"
    controls = [row for row in result.control_rows if row.get("state") == "done"]
    names = {
        control_name(row): row for row in controls if len(result.members[str(row["trial"])]) > 1
    }
    beaten = [
        name
        for name, control in names.items()
        if any(_better(row, control, result) for row in result.front_rows)
    ]
    unbeaten = [name for name in names if name not in beaten]
    if not names:
        return f"Means over {result.seeds} seeds; no control has several seeds."
    if not beaten:
        return (
            "No point of the front is better in any objective than control"
            f" {_names(unbeaten)} {condition}."
        )
    found = (
        f"Points of the front are better in an objective than control {_names(beaten)} {condition}"
    )
    return found + (f"; none is better than {_names(unbeaten)}." if unbeaten else ".")


def _names(names: Sequence[str]) -> str:
    shown = [f"`{name}`" for name in names[:_MOST]]
    more = f" and {len(names) - _MOST} others" if len(names) > _MOST else ""
    return ", ".join(shown) + more
