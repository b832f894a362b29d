"""How code, claims and exercises look in a notebook: HTML where it is shown, and plain text that says the same.

Nothing here measures or decides; what it shows was found out elsewhere. Every view can be read without colour, and on
a light and on a dark page alike.
"""

import base64
import io

from ..messages import shorten


def verify(sentence: str, holds, numbers: object = "") -> None:
    """Print the sentence if it holds; otherwise raise `AssertionError` with the numbers that speak against it.

    >>> verify("two and two make four", 2 + 2 == 4)
    ✓ two and two make four
    """
    if not holds:
        raise AssertionError(
            f"not so this time: {sentence} ({numbers})" if numbers != "" else f"not so this time: {sentence}"
        )
    print(f"✓ {sentence}")


def check_exercise(function, *cases) -> None:
    """Try a reader's function. A case is what it is given and, last, what it should return; the first wrong one is told.

    A function that still raises `NotImplementedError` is only reminded of; any other error is the reader's to see.

    >>> check_exercise(max, (1, 2, 2), (7, 5, 7))
    ✓ max is right in 2 of 2 cases
    """
    name = function.__name__
    for *given, expected in cases:
        try:
            got = function(*given)
        except NotImplementedError:
            print("not written yet: your turn")
            return
        if got != expected:
            call = f"{name}({', '.join(shorten(value, 60) if isinstance(value, str) else _short(value) for value in given)})"
            print(f"✗ {call}\n  should be {_short(expected)}\n  and is    {_short(got)}")
            return
    print(f"✓ {name} is right in {len(cases)} of {len(cases)} cases")


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:59] + "…"


def show(ax, sentence: str = "") -> None:
    """Show the figure of a plot, once. The sentence (by default the plot's own) is for whoever cannot see it."""
    from IPython.display import display

    sentence = sentence or getattr(ax, "sentence", "")
    figure, picture = ax.figure, io.BytesIO()
    figure.savefig(picture, format="png", dpi=min(figure.dpi, 100), bbox_inches="tight", facecolor="white")
    _forget(figure)
    data = {"image/png": base64.b64encode(picture.getvalue()).decode(), "text/plain": sentence}
    display(data, raw=True, metadata={"image/png": {"alt": sentence}})


def _forget(figure) -> None:
    """Or JupyterLab shows it a second time, at the end of the cell."""
    from matplotlib import pyplot

    pyplot.close(figure)
