"""Plots of where the time of a request goes."""

from typing import TYPE_CHECKING, Any

from . import shapes
from .style import (
    FAINT,
    INK,
    LIMITED,
    dark,
    empty,
    footnote,
    new_axes,
    pale,
    style_of,
    ticks,
    tidy,
    title,
    with_sentence,
    write,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LABELS = {"cpu_us": "server's CPU time for a request, µs", "latency_us": "median response time, µs"}
_METRICS = {"cpu_us": "The server's processor time for a request", "latency_us": "The median response time"}


def breakdown_bars(
    result: shapes.CostBreakdown, ax: "Axes | None" = None, metric: shapes.CostMetric | None = None
) -> "Axes":
    """For each protocol its stages in order: pale what the stage before takes, full what this one adds to it.

    `metric` is "cpu_us" or "latency_us"; by default the first that was measured. A whisker is the interval of what is
    added; grey means that the generator was the limit.
    """
    heading = "Where the time of a request goes"
    metric = metric or (result.metrics[0] if result.metrics else "latency_us")
    costs = result.costs(metric)
    ax = ax or new_axes(8.0, 1.9 + 0.27 * len(costs) + 0.3 * len(result.protocols))
    values = [cost.value.value for cost in costs if cost.value is not None]
    if not values:
        return empty(ax, heading, f"{_METRICS[metric]} was not measured.")
    most = min(max(map(_reach, costs)), 1.5 * max(values))
    y, below = 0.0, 0.0
    rows: list[tuple[float, str]] = []
    for cost in costs:
        if cost.stage.protocol == "":  # the baseline, with which each protocol begins
            y, below = y + (0.75 if rows else 0), 0.0
            look: dict[str, Any] = {"color": dark(style_of(cost.protocol).color), "weight": "bold", "va": "bottom"}
            write(ax, most * 0.004, y - 0.45, cost.protocol, fontsize=10, **look)
            y += 0.1
        _bar(ax, cost, y, below, most)
        rows.append((y, cost.stage.part))
        below, y = cost.value.value if cost.value else below, y + 1
    ticks(ax.yaxis, [place for place, _ in rows], [part for _, part in rows], fontsize=9)
    ax.set_ylim(y - 0.4, -1.1)
    ax.set_xlim(0, most * 1.6)
    ax.set_xlabel(_LABELS[metric])
    title(ax, heading)
    tidy(ax, "x")
    footnote(ax, _note(result), result.environment)
    return with_sentence(ax, _stages_in_words(result, metric))


def _bar(ax: "Axes", cost: shapes.StageCost, y: float, below: float, most: float) -> None:
    """One row: what the stage before takes, what this one adds, how sure that is, and both in numbers."""
    if cost.value is None:
        write(ax, most * 0.012, y, cost.remark, va="center", fontsize=8, color=FAINT)
        return
    style, value = style_of(cost.protocol), cost.value.value
    color = LIMITED if cost.stage.generator_limited else style.color
    less = min(below, value)
    ax.barh(y, less, 0.72, color=pale(pale(color)), lw=0, zorder=2)
    look: dict[str, Any] = {"color": color, "hatch": style.hatch, "edgecolor": "white", "lw": 0}
    if value < below:
        look = {"color": "none", "edgecolor": color, "lw": 0.9}
    ax.barh(y, abs(value - below), 0.72, left=less, zorder=2.5, **look)
    added = cost.added
    if added is not None and added.low is not None and added.high is not None:
        arms = [[added.value - added.low], [added.high - added.value]]
        for ink, width, cap in ("white", 2.6, 3.2), (INK, 1.1, 2.5):  # with a rim, or it is lost on its bar
            look = {"fmt": "none", "ecolor": ink, "elinewidth": width, "capsize": cap, "capthick": width}
            ax.errorbar(value, y, xerr=arms, zorder=3, **look)
    x = min(max(_reach(cost), below), most) + most * 0.018
    write(ax, x, y, _cost_in_words(cost), va="center", fontsize=8, color=INK)


def _reach(cost: shapes.StageCost) -> float:
    """How far to the right a stage and its whisker go."""
    if cost.value is None:
        return 0.0
    added = cost.added
    return cost.value.value + (0.0 if added is None or added.high is None else added.high - added.value)


def _cost_in_words(cost: shapes.StageCost) -> str:
    added = cost.added
    if added is None:
        return cost.remark
    sign, digits = "+" if cost.stage.protocol else "", 0 if abs(added.value) >= 100 else 1
    share = f", {cost.percent}" if cost.percent else ""
    number = f"{added.value:{sign},.{digits}f} µs{share}".replace("-", "−")
    if cost.remark == "perhaps":
        return f"perhaps {number}"
    return number + (f": {cost.remark.partition(',')[0]}" if cost.remark else "")


def _note(result: shapes.CostBreakdown) -> str:
    load, rounds = result.workload, f"{result.rounds} round{'s'[: result.rounds != 1]}"
    grey = " Grey: the generator's limit." if any(stage.generator_limited for stage in result.stages) else ""
    cut_short = ", ended early" * result.partial
    clients = "one client with" if load.clients == 1 else f"{load.clients} clients, each with"
    return (
        f"Full: what a server takes beyond the one above it in the picture (pale), with its 95 % interval over "
        f"{rounds}{cut_short}; the share is of the whole chat.{grey} Closed loop, {clients} one message of "
        f"{load.size_in_words} on its way, {load.duration}; light generator; engine: {result.engine}."
    )


def _stages_in_words(result: shapes.CostBreakdown, metric: str) -> str:
    # No measured number: a notebook's stored output must be the same in the next run.
    stages = "; ".join(
        f"{name}: {', '.join(stage.part for stage in result.stages_of(name))}" for name in result.protocols
    )
    return f"{_METRICS[metric]}, part by part, for {stages}. print() of the result shows the numbers."
