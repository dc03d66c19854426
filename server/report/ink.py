"""From a matplotlib figure to an SVG inside HTML whose colours are CSS variables, so that it follows the page's theme.

Charts draw with one stand-in colour per role; here each becomes `var(--role)`. Text stays text in the page's font.
"""

import io
import re
import warnings
from collections.abc import Mapping
from typing import Any  # matplotlib is imported late, and untyped here

SERIES = tuple(f"series-{i}" for i in range(1, 9))
ROLES = ("ink", "muted", "grid", "paper", "better", "worse", *SERIES)
STAND_INS: Mapping[str, str] = {role: f"#0f0e{i + 1:02x}" for i, role in enumerate(ROLES)}
DASHES: tuple[tuple[int, ...], ...] = ((), (5, 2), (1, 2), (7, 2, 1, 2), (3, 1), (9, 3), (2, 1, 1, 1), (6, 1, 2, 1))


def new_axes(*, width: float = 4.8, height: float = 3.0) -> tuple[Any, Any]:
    """Return a figure of this size in inches and its axes, drawn without pyplot: no global state, no window."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.add_subplot()
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("bottom", "left"):
        axes.spines[side].set_color(STAND_INS["muted"])
    axes.tick_params(colors=STAND_INS["muted"], labelcolor=STAND_INS["ink"], labelsize=9, length=3)
    axes.grid(color=STAND_INS["grid"], linewidth=0.6)
    axes.set_axisbelow(True)
    axes.patch.set_visible(False)
    figure.patch.set_visible(False)
    return figure, axes


def label(axes: Any, x: str, y: str) -> None:
    """Name both axes."""
    axes.set_xlabel(x, color=STAND_INS["ink"], fontsize=9)
    axes.set_ylabel(y, color=STAND_INS["ink"], fontsize=9)


def svg_dash(dash: tuple[int, ...]) -> str:
    """Return a dash pattern as SVG writes it, empty for a solid line."""
    return " ".join(str(part) for part in dash)


def to_svg(figure: Any, *, name: str) -> str:
    """Return the figure as an `<svg>` element; the same figure gives the same text.

    Args:
        figure: a matplotlib figure drawn with STAND_INS.
        name: the spoken label; it also keeps the ids of several figures on one page apart.
    """
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    buffer = io.BytesIO()
    settings = {"svg.fonttype": "none", "svg.hashsalt": name}
    with matplotlib.rc_context(settings), warnings.catch_warnings():
        # The browser draws the text with its own fonts, so a glyph that matplotlib's font lacks is no loss.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        # Not by savefig, which would draw all of it once more, and throw that away.
        canvas = FigureCanvasSVG(figure)
        canvas.print_svg(buffer, metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    return _inline(buffer.getvalue().decode(), name)


def _inline(text: str, name: str) -> str:
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, flags=re.DOTALL)
    for role, stand_in in STAND_INS.items():
        text = text.replace(stand_in, f"var(--{role})")
    text = _without_unused_ids(text)
    text = re.sub(r'<svg ([^>]*?)width="[^"]*" ?', r"<svg \1", text, count=1)
    text = re.sub(r'<svg ([^>]*?)height="[^"]*" ?', r"<svg \1", text, count=1)
    return text.replace("<svg ", f'<svg role="img" aria-label="{_attribute(name)}" ', 1).strip()


def _without_unused_ids(text: str) -> str:
    """Drop ids that nothing refers to: several figures on one page would repeat them."""
    used = set(re.findall(r'(?:url\(#|href="#)([^)"]+)', text))
    return re.sub(r' id="([^"]*)"', lambda match: match[0] if match[1] in used else "", text)


def _attribute(text: str) -> str:
    from markupsafe import escape

    return str(escape(text))
