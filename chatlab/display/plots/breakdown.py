"""Plots of where the time of a request goes."""

from .latency import LIMITED
from .style import FAINT, INK, _axes, _dark, _footnote, _pale, _plain, _sentence, style_of

# ---- where the time goes ----------------------------------------------------------------------------------------


def breakdown_bars(result, ax=None, of: str = ""):
    """For each protocol its stages from the ground up: pale what the stage below takes, full what this one adds to it.

    `of` is "cpu_us" or "latency_us". A whisker is the interval of what is added; grey is the generator's limit.
    """
    of = of or result.metrics[0]
    steps = result.costs(of)
    ax = ax or _axes(8.0, 1.9 + 0.27 * len(steps) + 0.3 * len(result.protocols))
    most = min(max(_reach(step) for step in steps), 1.5 * max(step.value.value for step in steps if step.value))
    y, places, below = 0.0, [], 0.0
    for step in steps:
        if step.stage.protocol == "":  # the ground: another protocol begins
            y, below = y + (0.75 if places else 0), 0.0
            ax.text(
                most * 0.004,
                y - 0.45,
                step.protocol,
                fontsize=10,
                weight="bold",
                color=_dark(style_of(step.protocol).color),
                va="bottom",
            )
            y += 0.1
        _rung(ax, step, y, below, most)
        places.append((y, step.stage.part))
        below, y = step.value.value if step.value else below, y + 1
    ax.set_yticks(*zip(*places), fontsize=9)
    ax.set_ylim(y - 0.4, -1.1)
    ax.set_xlim(0, most * 1.6)
    ax.set_xlabel(_LADDER_LABELS[of])
    ax.set_title("Where the time of a request goes", loc="left", fontsize=12, color=INK)
    _plain(ax, "x")
    _footnote(ax, _ladder_note(result), result.environment)
    return _sentence(ax, _ladder_in_words(result, of))


_LADDER_LABELS = {"cpu_us": "server's CPU time for a request, µs", "latency_us": "median response time, µs"}


def _rung(ax, step, y: float, below: float, most: float) -> None:
    """One row: what the stage below takes, what this one adds, how sure that is, and both in numbers."""
    if step.value is None:
        ax.text(most * 0.012, y, step.remark, va="center", fontsize=8, color=FAINT)
        return
    style, value = style_of(step.protocol), step.value.value
    color = LIMITED if step.stage.generator_limited else style.color
    less = min(below, value)
    ax.barh(y, less, 0.72, color=_pale(_pale(color)), lw=0, zorder=2)
    added = (
        dict(color=color, hatch=style.hatch, edgecolor="white")
        if value >= below
        else dict(color="none", edgecolor=color)
    )
    ax.barh(y, abs(value - below), 0.72, left=less, lw=0 if value >= below else 0.9, zorder=2.5, **added)
    if step.added is not None and step.added.low is not None:
        arms = [[step.added.value - step.added.low], [step.added.high - step.added.value]]
        for ink, width, cap in ("white", 2.6, 3.2), (INK, 1.1, 2.5):  # with a rim, or it is lost on its bar
            look = dict(fmt="none", ecolor=ink, elinewidth=width, capsize=cap, capthick=width)
            ax.errorbar(value, y, xerr=arms, zorder=3, **look)
    ax.text(
        min(max(_reach(step), below), most) + most * 0.018, y, _rung_in_words(step), va="center", fontsize=8, color=INK
    )


def _reach(step) -> float:
    """How far to the right a stage and its whisker go."""
    if step.value is None:
        return 0.0
    return step.value.value + (
        step.added.high - step.added.value if step.added is not None and step.added.high is not None else 0.0
    )


def _rung_in_words(step) -> str:
    if step.added is None:
        return step.remark
    sign, digits = "+" if step.stage.protocol else "", 0 if abs(step.added.value) >= 100 else 1
    told = f"{step.added.value:{sign},.{digits}f} µs{f', {step.percent}' if step.percent else ''}".replace("-", "−")
    if step.remark == "perhaps":
        return f"perhaps {told}"
    return told + (f": {step.remark.partition(',')[0]}" if step.remark else "")


def _ladder_note(result) -> str:
    load, rounds = result.workload, f"{result.rounds} round{'s'[: result.rounds != 1]}"
    grey = " Grey: the generator's limit." if any(stage.generator_limited for stage in result.stages) else ""
    cut_short = ", ended early" * result.partial
    who = "one client with" if load.clients == 1 else f"{load.clients} clients, each with"
    return (
        f"Full: what a server takes beyond the one above it in the picture (pale), with its 95 % interval over {rounds}{cut_short}; the share is "
        f"of the whole chat.{grey} Closed loop, {who} one message of {load.size_in_words} on its way, {load.duration}; "
        f"light generator; engine: {result.engine}."
    )


def _ladder_in_words(result, of: str) -> str:
    # No number that was measured: a notebook's text must not change with the weather.
    ladders = "; ".join(
        f"{name}: {', '.join(stage.part for stage in result.stages_of(name))}" for name in result.protocols
    )
    what = {"cpu_us": "The server's processor time for a request", "latency_us": "The median response time"}[of]
    return f"{what}, part by part, for {ladders}. print() of the result shows the numbers."
