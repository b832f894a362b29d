"""A view says in HTML, in plain text and in a picture the same, in words, and the same every time."""

import re
from html.parser import HTMLParser

import pytest
from http2_frames import calling, read, say, settled
from raw_client import DEADLINE_S

import chatlab
from chatlab.capture.dissection import dissect_tape
from chatlab.capture.http2 import PREFACE
from chatlab.capture.tcp_relay import relay
from chatlab.codecs.binary import BinaryCodec
from chatlab.codecs.text import TextCodec
from chatlab.messages import Arrived, Ping, Send, Sent

BINARY = BinaryCodec()


def frames(*said, direction="up"):
    return dissect_tape([(0.5, 1, direction, BINARY.preface + b"".join(BINARY.encode(*each) for each in said))], BINARY)


class Cells(HTMLParser):
    """The cells of a table, row by row, and how often a head has a scope."""

    def __init__(self, html):
        super().__init__()
        self.rows, self.open, self.scopes = [], False, 0
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
            self.open = True
        if tag == "br":
            self.rows[-1][-1] += "\n"
        self.scopes += tag == "th" and dict(attributes).get("scope") in ("row", "col")

    def handle_endtag(self, tag):
        self.open = self.open and tag not in ("td", "th")

    def handle_data(self, data):
        if self.open:
            self.rows[-1][-1] += data


def test_a_frame_explains_itself():
    table = frames((7, Send("bob", "hi")))[1].explain()
    assert repr(table).splitlines() == [
        "Send up, tag 7: 9 bytes, binary",
        "──────────────────────────────────────────────────────────────────",
        "at  bytes     text  field         meaning         layer",
        "──────────────────────────────────────────────────────────────────",
        " 0  08        .     length        8 bytes follow  message framing",
        " 1  46        F     message       Send            information",
        " 2  07        .     tag           7               message framing",
        " 3  03        .     length of to  3 bytes follow  payload encoding",
        " 4  62 6f 62  bob   to            'bob'           information",
        " 7  68 69     hi    text          'hi'            information",
        "──────────────────────────────────────────────────────────────────",
        "9 bytes = 6 information + 1 payload encoding + 2 message framing",
    ]


@pytest.mark.parametrize(
    "view", [frames((7, Send("b<b>", "a" * 40)))[1].explain(), frames((7, Ping()), (8, Ping())).table()]
)
def test_html_and_text_say_the_same(view):
    cells = Cells(view._repr_html_())
    assert cells.rows == [list(view.heads), *map(list, view.rows())]
    assert cells.scopes == len(view.heads) + len(view.rows())
    flat = " ".join(repr(view).split())
    assert all(word in flat for row in view.rows() for cell in row for word in cell.split())


def test_html_holds_no_markup_of_a_peers():
    html = frames((7, Send("<script>", "&amp;")))[1].explain()._repr_html_()
    assert "<script" not in html and "&lt;script&gt;" in html


def test_html_takes_its_colours_from_the_page():
    html = frames((7, Ping())).table()._repr_html_() + frames((7, Ping()))[1].explain()._repr_html_()
    assert not re.search(r"(?<!-)color: #|background: #|background: (?!none)", html)
    assert "var(--jp-content-font-color0, " in html


def test_a_long_field_shows_its_beginning():
    text = repr(frames((7, Send("bob", "x" * 1000)))[1].explain())
    assert "and 936 more" in text and len(text.splitlines()) < 20


def test_a_yes_without_bytes_of_its_own_is_told_where_its_bit_is():
    assert "Sent, delivered" in repr(frames((7, Sent(1, True)))[1].explain())
    assert "delivered" not in repr(frames((7, Sent(1, False)))[1].explain())


def test_a_table_of_frames_counts_what_has_passed():
    table = frames((7, Send("bob", "hi")), (None, Arrived(1, "al", "hi"))).table()
    assert [row[4:6] for row in table.rows()] == [("4", "4"), ("9", "13"), ("8", "21")]
    assert "0.5" not in repr(table) and "500.0 ms" in repr(frames((7, Ping())).table(times=True))


def test_what_differs_from_run_to_run_is_hidden_unless_asked_for():
    block = b"\x00\x07session\x08abcdefgh"
    frame = read(("up", PREFACE + calling("Send") + say(1, 3, block, flags=4)))[2]
    assert "abcdefgh" not in repr(frame.explain()) and "·· ··" in repr(frame.explain())
    assert "abcdefgh" in repr(frame.explain(varying=True))


def conversation(protocol):
    with chatlab.serve(protocol) as server, relay(server) as tap:
        alice = tap.connect()
        alice.create_account("alice")
        alice.send("alice", "hi")
        assert alice.receive(timeout_s=DEADLINE_S)
        settled(tap, alice)
        return tap.frames


@pytest.mark.parametrize("protocol", ["text", "grpc-stream"])
def test_two_runs_look_the_same(protocol):
    views = [
        [repr(frame.explain()) for frame in conversation(protocol) if frame.kind in ("Send", "Arrived", "DATA")]
        for _ in range(2)
    ]
    assert sorted(views[0]) == sorted(views[1])


def test_a_frame_in_a_cell_is_its_table():
    frame = frames((7, Ping()))[1]
    assert frame._repr_mimebundle_()["text/plain"] == repr(frame.explain())
    assert repr(frame) == "<Ping up on 7, 3 bytes: Ping>"
    assert repr(frames((7, Ping()))).startswith("2 frames, 7 bytes\n")


def test_nothing_at_all_has_a_table_too():
    assert repr(dissect_tape([], TextCodec())).splitlines()[0] == "0 frames, 0 bytes"


def test_the_picture_tells_every_field():
    from matplotlib import pyplot

    from chatlab.display.plots import annotated_bytes

    frame = frames((7, Send("bob", "hi")))[1]
    ax = annotated_bytes(frame)
    drawn = {text.get_text() for text in ax.texts}
    pyplot.close(ax.figure)
    assert {field.name for field in frame.fields} | {"62 6f 62", "payload encoding", "'hi'"} <= drawn
    assert "length, message, tag, length of to, to, text" in ax.sentence
