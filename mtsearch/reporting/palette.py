"""Colours and marks of all pictures, legible to colour-blind readers (Okabe & Ito 2008) and apart
in grey by their marks."""

from __future__ import annotations

FRONT = "#0072B2"
KNEE = "#D55E00"
OTHER = "#9AA3AD"
INK = "#1F2933"
CONTROLS = ("#009E73", "#CC79A7", "#B8860B", "#56B4E9", "#000000")
CONTROL_MARKS = ("s", "D", "^", "v", "P")  # matplotlib's names
CONTROL_SOLIDS = (
    "square",
    "cross",
    "x",
    "square-open",
    "circle-open",
)  # those that plotly has in 3-D
CONTROL_SYMBOLS = (
    "square",
    "diamond",
    "triangle-up",
    "triangle-down",
    "cross",
)  # plotly's names for the same
