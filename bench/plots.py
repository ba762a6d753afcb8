"""Plots as SVG text: lines over time, with shaded stretches, and bars. No script and nothing loaded from elsewhere."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from html import escape

COLOURS = {"lsmproc": "#c8372d", "plyvel": "#2f6fb3", "rocksdict": "#3a8f4d", "lmdb": "#8a5cb0", "sqlite3": "#b07d2b"}
SHADES = {"flush": "#f2c14e", "compaction": "#9db8d9"}

_PALETTE = (
    *("#c8372d", "#2f6fb3", "#3a8f4d", "#8a5cb0", "#b07d2b", "#138a8a"),
    *("#d0679d", "#5b5b5b", "#8fae2f", "#e08a3c", "#4a4fb5", "#a0522d"),
)
_WIDTH, _HEIGHT, _GROWTH_HEIGHT = 560, 220, 380
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 12, 12, 34
_BAR, _BAR_LEFT, _BAR_WIDTH = 16, 150, 640

Points = Sequence[Sequence[float]]
Scale = Callable[[float], float]


@dataclass(frozen=True, slots=True)
class Series:
    """One line."""

    name: str
    points: list[tuple[float, float]]
    dashed: bool = False


def line_plot(
    title: str, series: Sequence[Series], spans: Sequence[tuple[float, float, str]], *, log: bool = False
) -> str:
    """Lines over seconds, the background work of one system behind them. A logarithmic scale leaves zeros out."""
    values = [value for each in series for _, value in each.points if value > 0 or not log]
    if not values:
        return ""
    end = max(at for each in series for at, _ in each.points) or 1.0
    low, high = (min(values), max(values)) if log else (0.0, max(values) * 1.05)
    across = _linear(0.0, end, _LEFT, _WIDTH - _RIGHT)
    up = (_logarithmic if log else _linear)(low, high, _HEIGHT - _BOTTOM, _TOP)
    parts = [*_spans(spans, across), *_axes(low, high, end, up, across, log=log)]
    parts += [_line(each, across, up, log=log) for each in series]
    parts.append(_text(_LEFT, _HEIGHT - 4, "seconds", "start"))
    return _figure(title, _WIDTH, _HEIGHT, parts, _legend(series, spans))


def growth_plot(title: str, unit: str, series: Sequence[Series]) -> str:
    """Lines over a count, both scales logarithmic, with a mark at each point: powers of the count are straight."""
    points = [point for each in series for point in each.points if min(point) > 0]
    if not points:
        return ""
    counts, values = sorted({count for count, _ in points}), [value for _, value in points]
    low, high = min(values), max(*values, 1.01 * min(values))
    across = _logarithmic(counts[0], counts[-1], _LEFT, _WIDTH - _RIGHT)
    up = _logarithmic(low, high, _GROWTH_HEIGHT - _BOTTOM, _TOP)
    parts = [_text(_LEFT, _GROWTH_HEIGHT - 4, unit, "start")]
    parts += [_text(across(count), _GROWTH_HEIGHT - _BOTTOM + 14, f"{count:,.0f}", "middle") for count in counts]
    for value in sorted({low, high, *_decades(low, high)}):
        y = up(value)
        parts.append(f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>')
        parts.append(_text(_LEFT - 6, y + 4, f"{value:.3g}x", "end"))
    colours = [_PALETTE[index % len(_PALETTE)] for index in range(len(series))]
    for each, colour in zip(series, colours, strict=True):
        places = [(across(count), up(value)) for count, value in each.points if min(count, value) > 0]
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in places]
    return _figure(title, _WIDTH, _GROWTH_HEIGHT, parts, _marks([each.name for each in series], colours))


def bar_plot(title: str, bars: Sequence[tuple[str, float | None]]) -> str:
    """A bar for each ratio, from 1x to the left or to the right on a logarithmic scale."""
    known = [ratio for _, ratio in bars if ratio]
    if not known:
        return ""
    reach = max(2.0, *known, *(1 / ratio for ratio in known))
    across = _logarithmic(1 / reach, reach, _BAR_LEFT, _BAR_WIDTH - 60)
    height = len(bars) * _BAR + 8
    parts = [f'<line x1="{across(1):.1f}" x2="{across(1):.1f}" y1="0" y2="{height}" stroke="#555"/>']
    for index, (name, ratio) in enumerate(bars):
        top = 4 + index * _BAR
        parts.append(_text(_BAR_LEFT - 8, top + 11, name, "end"))
        if ratio:
            left, right = sorted((across(1), across(ratio)))
            colour = "#3a8f4d" if ratio >= 1 else "#c8372d"
            parts.append(
                f'<rect x="{left:.1f}" y="{top + 2}" width="{right - left:.1f}" height="{_BAR - 5}" fill="{colour}"/>'
            )
            parts.append(_text(right + 4, top + 11, f"{ratio:.2f}x", "start"))
    return _figure(title, _BAR_WIDTH, height, parts, "")


def _figure(title: str, width: int, height: int, parts: Sequence[str], legend: str) -> str:
    svg = f'<svg viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img">{"".join(parts)}</svg>'
    return f"<figure><figcaption>{escape(title)}{legend}</figcaption>{svg}</figure>"


def _legend(series: Sequence[Series], spans: Sequence[tuple[float, float, str]]) -> str:
    kinds = dict.fromkeys(kind for _, _, kind in spans)
    names = [(each.name, COLOURS.get(each.name.split()[0], "#333")) for each in series]
    names += [(kind, SHADES.get(kind, "#ddd")) for kind in kinds]
    return _marks([name for name, _ in names], [colour for _, colour in names])


def _marks(names: Sequence[str], colours: Sequence[str]) -> str:
    pairs = zip(names, colours, strict=True)
    return "".join(f' <b style="color:{colour}">■</b>&#8239;{escape(name)}' for name, colour in pairs)


def _spans(spans: Sequence[tuple[float, float, str]], across: Scale) -> Iterator[str]:
    for start, stop, kind in spans:
        left, width = across(start), max(across(stop) - across(start), 0.7)
        # Flushes and compactions overlap in time, so each kind has its own half of the height.
        half = (_HEIGHT - _TOP - _BOTTOM) / 2
        top = _TOP if kind == "flush" else _TOP + half
        colour = SHADES.get(kind, "#ddd")
        yield f'<rect x="{left:.1f}" y="{top}" width="{width:.1f}" height="{half}" fill="{colour}" opacity="0.45"/>'


def _axes(low: float, high: float, end: float, up: Scale, across: Scale, *, log: bool) -> Iterator[str]:
    for value in _decades(low, high) if log else [high * step / 4 for step in range(5)]:
        y = up(value)
        yield f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>'
        yield _text(_LEFT - 6, y + 4, f"{value:,.0f}" if value >= 10 else f"{value:.2g}", "end")
    for step in range(5):
        at = end * step / 4
        yield _text(across(at), _HEIGHT - _BOTTOM + 14, f"{at:.3g}", "middle")


def _decades(low: float, high: float) -> list[float]:
    return [10.0**power for power in range(math.ceil(math.log10(low)), math.floor(math.log10(high)) + 1)] or [low]


def _line(series: Series, across: Scale, up: Scale, *, log: bool) -> str:
    points = " ".join(f"{across(at):.1f},{up(value):.1f}" for at, value in series.points if value > 0 or not log)
    colour = COLOURS.get(series.name.split()[0], "#333")
    dashes = ' stroke-dasharray="3 2"' if series.dashed else ""
    return f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.2"{dashes}/>'


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _linear(low: float, high: float, start: float, stop: float) -> Scale:
    span = (high - low) or 1.0
    return lambda value: start + (value - low) / span * (stop - start)


def _logarithmic(low: float, high: float, start: float, stop: float) -> Scale:
    base = math.log(low)
    span = (math.log(high) - base) or 1.0
    return lambda value: start + (math.log(value) - base) / span * (stop - start)
