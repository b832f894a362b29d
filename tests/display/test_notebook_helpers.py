"""Views say the same in HTML and in plain text; claims and exercises say what is true, in one line."""

import base64
import inspect
import sys

import pytest

from chatlab.display.notebook import check_exercise, show, verify
from chatlab.display.source_diff import side_by_side
from chatlab.socket_impl import LoopServer, ThreadServer


class Bare:
    """No methods."""


class Left:
    """One."""

    def same(self):
        return 1

    def only_left(self):
        return "<left>"


class Right:
    """Two."""

    def _only_right(self):
        return 2

    def _same(self):
        return 1


def test_a_claim_that_holds_is_printed(capsys):
    verify("water is wet", True, "not shown")
    assert capsys.readouterr().out == "✓ water is wet\n"


def test_a_claim_that_does_not_hold_brings_its_numbers():
    with pytest.raises(AssertionError, match=r"fire is wet \(0 litres\)"):
        verify("fire is wet", False, "0 litres")


def unwritten(n):
    raise NotImplementedError


def doubled(n):
    return n + n


def test_an_unwritten_exercise_is_no_error(capsys):
    check_exercise(unwritten, (1, 2))
    assert capsys.readouterr().out == "not written yet: your turn\n"


def test_a_right_exercise_is_told_so(capsys):
    check_exercise(doubled, (1, 2), ("a", "aa"))
    assert capsys.readouterr().out == "✓ doubled is right in 2 of 2 cases\n"


def test_the_first_wrong_case_is_shown(capsys):
    check_exercise(doubled, (1, 2), (3, 9), (4, 16))
    assert capsys.readouterr().out == "✗ doubled(3)\n  should be 9\n  and is    6\n"


def test_a_mistake_in_an_exercise_is_the_readers_to_see():
    with pytest.raises(TypeError):
        check_exercise(doubled, (None, 0))


def test_pieces_of_the_same_name_stand_beside_each_other():
    rows = side_by_side(Left, Right).rows()
    firsts = [tuple(piece.strip().split("\n")[0] for piece in row) for row in rows]
    assert firsts == [
        ("class Left:", "class Right:"),
        ("", "def _only_right(self):"),
        ("def same(self):", "def _same(self):"),
        ("def only_left(self):", ""),
    ]


def test_a_class_without_methods_and_functions_of_other_names_have_source_too():
    assert side_by_side(Bare, Left).rows()[0][0].startswith("class Bare:")
    assert [bool(right) for _, right in side_by_side([unwritten, doubled], Left).rows()] == [True]


def test_both_servers_appear_whole_on_both_sides():
    for server, pieces in zip((ThreadServer, LoopServer), zip(*side_by_side(ThreadServer, LoopServer).rows())):
        told = {piece.split("def ")[1].split("(")[0] for piece in pieces if "def " in piece}
        assert told == {name for name in vars(server) if inspect.isfunction(vars(server)[name])}


def test_source_is_escaped_in_html_and_marked_where_both_have_it():
    view = side_by_side(Left, Right)
    assert "&lt;left&gt;" in view._repr_html_() and "<left>" not in view._repr_html_()
    assert "=     return 1" in repr(view)


def test_a_plot_is_shown_once_with_its_sentence(monkeypatch):
    pyplot = pytest.importorskip("matplotlib.pyplot")
    display = pytest.importorskip("IPython.display")
    shown = []
    monkeypatch.setattr(display, "display", lambda data, raw, metadata: shown.append((data, metadata)))
    _, ax = pyplot.subplots(figsize=(2, 1))
    show(ax, "an empty plot")
    [(data, metadata)] = shown
    assert base64.b64decode(data["image/png"]).startswith(b"\x89PNG")
    assert data["text/plain"] == metadata["image/png"]["alt"] == "an empty plot"
    assert pyplot.get_fignums() == []


def test_without_ipython_show_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "IPython.display", None)
    with pytest.raises(ModuleNotFoundError, match="pip install ipython"):
        show(None)
