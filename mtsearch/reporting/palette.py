"""Colours and markers of all plots: colours for colour-blind readers (Okabe & Ito 2008), markers
that differ in greyscale."""

from __future__ import annotations

FRONT = "#0072B2"
KNEE = "#D55E00"
OTHER = "#9AA3AD"
INK = "#1F2933"
CONTROLS = ("#009E73", "#CC79A7", "#B8860B", "#56B4E9", "#000000")
# the names of the markers in matplotlib, in plotly, and of those that plotly has in 3-D
CONTROL_MARKS = ("s", "D", "^", "v", "P")
CONTROL_SYMBOLS = ("square", "diamond", "triangle-up", "triangle-down", "cross")
CONTROL_SOLIDS = ("square", "cross", "x", "square-open", "circle-open")
