"""Colours and markers of all plots: colours for colour-blind readers (Okabe & Ito 2008, darkened
or lightened where needed), markers that differ in greyscale.

Every colour of a mark has a contrast of at least 3:1 with the ground that it is drawn on, every
colour of text at least 4.5:1 (WCAG 2.2, criteria 1.4.11 and 1.4.3).
"""

from __future__ import annotations

FRONT = "#0072B2"
KNEE = "#D55E00"
OTHER = "#7D8791"
INK = "#1F2933"
CONTROLS = ("#008F68", "#B85C90", "#A17608", "#6A3D9A", "#000000")
# the names of the markers in matplotlib; the page draws the same shapes in this order
CONTROL_MARKS = ("s", "D", "^", "v", "P")

LIGHT = {
    "ground": "#F5F7F9",
    "panel": "#FFFFFF",
    "raised": "#E8F1F8",
    "warning": "#FDF1E7",
    "ink": INK,
    "soft": "#55616D",
    "line": "#DFE4E8",
    "edge": "#7D8791",
    "front": FRONT,
    "knee": KNEE,
    "knee-text": "#9C4400",
    "other": OTHER,
    "bad": "#A23B2A",
    "on-front": "#FFFFFF",
    **{f"control-{i}": colour for i, colour in enumerate(CONTROLS)},
    # a sequential scale of increasing lightness
    "scale-0": "#0D0A45",
    "scale-1": "#4A0F75",
    "scale-2": "#8A1A78",
    "scale-3": "#BF3060",
    "scale-4": "#CF4F2A",
    "scale-5": "#BC6A00",
    "scale-6": "#A08400",
}
"""The colours of the page by role on a light ground."""

DARK = {
    "ground": "#12161B",
    "panel": "#1A2027",
    "raised": "#22303D",
    "warning": "#3A2A1B",
    "ink": "#E6EBF0",
    "soft": "#A9B4BF",
    "line": "#323B45",
    "edge": "#7F8B97",
    "front": "#5AB4F0",
    "knee": "#FF9A4D",
    "knee-text": "#FFB27A",
    "other": "#8D98A3",
    "bad": "#FF9C8A",
    "on-front": "#0B1A26",
    "control-0": "#35C79A",
    "control-1": "#E59AC6",
    "control-2": "#E0B84A",
    "control-3": "#B79AF0",
    "control-4": "#F2F5F8",
    "scale-0": "#7F7CF0",
    "scale-1": "#A27AE8",
    "scale-2": "#CB76DA",
    "scale-3": "#F07CB0",
    "scale-4": "#FB977A",
    "scale-5": "#FBB95A",
    "scale-6": "#F8E27A",
}
"""The same roles on a dark ground."""


def control_style(index: int) -> tuple[str, str]:
    """Colour and marker of a control by its place; the page's script does the same.

    After as many controls as there are markers the colours shift, so that 25 pairs differ.
    """
    count = len(CONTROLS)
    return CONTROLS[(index + index // count) % count], CONTROL_MARKS[index % count]


def css_variables() -> str:
    """The style sheet's variables for both grounds; print is always light."""

    def block(colours: dict[str, str]) -> str:
        return ":root {" + "".join(f" --{name}: {value};" for name, value in colours.items()) + " }"

    dark = f"@media screen and (prefers-color-scheme: dark) {{ {block(DARK)} }}"
    return f"{block(LIGHT)}\n{dark}\n"
