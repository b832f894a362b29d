"""What a notebook's cells call: claims that are verified, exercises that are checked, and plots that are shown once.

Nothing here measures or decides. Every figure has a text alternative, so it can be read without seeing it.
"""

import base64
import io
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from ..messages import shorten

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def verify(sentence: str, holds: object, numbers: object = "") -> None:
    """Print the sentence if it holds; otherwise raise `AssertionError` with the numbers that contradict it.

    >>> verify("two and two make four", 2 + 2 == 4)
    ✓ two and two make four
    """
    if not holds:
        raise AssertionError(
            f"not so this time: {sentence} ({numbers})" if numbers != "" else f"not so this time: {sentence}"
        )
    print(f"✓ {sentence}")


def check_exercise(function: Callable[..., Any], *cases: tuple[Any, ...]) -> None:
    """Test a reader's function. A case is its arguments and, last, the expected result; the first wrong one is shown.

    If the function still raises `NotImplementedError`, a reminder is printed; any other error is the reader's to see.

    >>> check_exercise(max, (1, 2, 2), (7, 5, 7))
    ✓ max is right in 2 of 2 cases
    """
    name = function.__name__
    for *arguments, expected in cases:
        try:
            result = function(*arguments)
        except NotImplementedError:
            print("not written yet: your turn")
            return
        if result != expected:
            call = f"{name}({', '.join(map(_argument, arguments))})"
            print(f"✗ {call}\n  should be {_short(expected)}\n  and is    {_short(result)}")
            return
    print(f"✓ {name} is right in {len(cases)} of {len(cases)} cases")


def _argument(value: object) -> str:
    return shorten(value, 60) if isinstance(value, str) else _short(value)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:59] + "…"


def show(ax: "Axes", sentence: str = "") -> None:
    """Show the figure of a plot, once. The sentence (by default the plot's own) is its text alternative.

    Raises `ModuleNotFoundError` outside a notebook where IPython is not installed.
    """
    try:
        from IPython.display import display
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "show() displays a plot in a notebook and needs IPython: pip install ipython. "
            'Without one, save the picture: ax.figure.savefig("plot.png")',
            name=error.name,
        ) from None
    sentence = sentence or getattr(ax, "sentence", "")
    figure, picture = cast("Figure", ax.figure), io.BytesIO()
    figure.savefig(picture, format="png", dpi=min(figure.dpi, 100), bbox_inches="tight", facecolor="white")
    _close(figure)
    data = {"image/png": base64.b64encode(picture.getvalue()).decode(), "text/plain": sentence}
    display(data, raw=True, metadata={"image/png": {"alt": sentence}})


def _close(figure: "Figure") -> None:
    """Otherwise JupyterLab shows the figure a second time, at the end of the cell."""
    from matplotlib import pyplot

    pyplot.close(figure)
