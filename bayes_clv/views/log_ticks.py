"""Ticks of a horizontal log axis in plain numbers, as many as have room beside each other.

How long an axis is, is known only once the figure is laid out, so that they are chosen when it is drawn. Rejected:
matplotlib's ``LogLocator``, whose number of ticks knows nothing of how long 10,000 is beside 5,000.
"""

from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.font_manager import FontProperties
from matplotlib.ticker import FuncFormatter, Locator, MaxNLocator, NullFormatter, NullLocator

# The multiples of a power of ten, and every how many powers, from many ticks to few.
_CHOICES = (((1, 2, 5), 1), ((1, 3), 1), *(((1,), stride) for stride in range(1, 12)))
# Widths in the size of the font: of a digit, of a mark, and what is left free between two labels.
_DIGIT, _MARK, _FREE = 0.64, 0.32, 0.6


def plain(axis: Any) -> None:
    """Label a horizontal log axis in plain numbers that do not touch each other."""
    axis.set_major_locator(_Roomy(FontProperties(size=mpl.rcParams["xtick.labelsize"]).get_size_in_points()))
    axis.set_major_formatter(FuncFormatter(lambda amount, _: _label(amount)))
    axis.set_minor_locator(NullLocator())
    axis.set_minor_formatter(NullFormatter())


def _label(amount: float) -> str:
    return f"{amount:,.10g}"


class _Roomy(Locator):
    """The most ticks that have room; ``size`` is that of the labels' font, in points."""

    def __init__(self, size: float) -> None:
        self.size = size

    def __call__(self) -> Any:
        low, high = sorted(self.axis.get_view_interval())  # type: ignore[union-attr]
        return self.tick_values(low, high)

    def tick_values(self, vmin: float, vmax: float) -> Any:
        """Return the ticks within these ends."""
        powers = range(int(np.floor(np.log10(vmin))), int(np.ceil(np.log10(vmax))) + 1)
        ticks: list[float] = []
        for factors, stride in _CHOICES:
            ticks = [each * 10.0**power for power in powers[::stride] for each in factors]
            ticks = [tick for tick in ticks if vmin <= tick <= vmax]
            if self._fit(ticks, vmin, vmax):
                break
        if len(ticks) > 1:
            return ticks
        # Hardly wider than one number: as on any other axis.
        return [tick for tick in MaxNLocator(3).tick_values(vmin, vmax) if vmin <= tick <= vmax]

    def _fit(self, ticks: list[float], vmin: float, vmax: float) -> bool:
        axes: Any = self.axis.axes  # type: ignore[union-attr]
        points = axes.bbox.width * 72 / axes.get_figure(root=True).dpi
        places = points * np.log(np.array(ticks) / vmin) / np.log(vmax / vmin)
        widths = np.array([_width(_label(tick)) for tick in ticks]) * self.size
        between = np.diff(places) - (widths[:-1] + widths[1:]) / 2
        return bool((between >= _FREE * self.size).all())


def _width(text: str) -> float:
    return sum(_MARK if sign in ",." else _DIGIT for sign in text)
