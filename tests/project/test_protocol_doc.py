"""`docs/protocol.md` cannot lie: its exchanges are held with real servers, its tables compared with the code."""

import re
import subprocess
from contextlib import closing
from pathlib import Path

import pytest
from raw_client import RawClient

import chatlab
from chatlab import messages
from chatlab.chat.service import MEMBERS_SHOWN, PAGE
from chatlab.chat.storage import SAVED_REPLIES
from chatlab.codecs.binary import MESSAGE_TYPES
from chatlab.codecs.text import DECODERS, ENCODERS, TextCodec
from chatlab.messages import CODES, EVENTS, REPLIES, REQUESTS, Limits, ProtocolError

DOC = (Path(__file__).parents[2] / "docs" / "protocol.md").read_text(encoding="utf-8")


def blocks(kind: str):
    """The fenced blocks of one kind: what stands behind the kind, and the lines."""
    found = re.findall(rf"^```{kind}\b(.*)\n((?:.*\n)*?)```$", DOC, re.MULTILINE)
    return [(options.strip(), body.splitlines()) for options, body in found]


def table(heading: str):
    """The rows of the Markdown table under this head."""
    rows = DOC.partition(f"| {heading} |")[2].splitlines()[2:]
    return [[cell.strip().strip("`") for cell in row.strip("|").split("|")] for row in rows[: rows.index("")]]


EXCHANGES = blocks("exchange")


@pytest.mark.parametrize(
    "options, lines", EXCHANGES, ids=[f"{n}: {lines[0]}" for n, (_, lines) in enumerate(EXCHANGES)]
)
def test_an_exchange_happens_as_written(start_server, options, lines):
    limits = dict(option.split("=") for option in options.split())
    chat_server = start_server(Limits(**{name: int(value) for name, value in limits.items()}))
    voices, ended = {}, set()
    for line in lines:
        speaker, number, rest = re.fullmatch(r"([CS])(\d?)(.*)", line).groups()
        voice = voices.get(number) or voices.setdefault(number, chat_server.raw())
        if rest == " closes.":
            assert voice.rest() == [], line
            ended.add(voice)
        elif rest.startswith(" ends after "):
            voice.send_bytes(rest.removeprefix(" ends after ").strip('"').encode())
            voice.end()
        elif speaker == "C":
            voice.send(rest.removeprefix(":").removeprefix(" "))
        else:
            assert voice.line() == rest.removeprefix(": "), line
    for voice in set(voices.values()) - ended:
        voice.end()
        assert voice.rest() == [], "the server said more than the exchange tells"


PIPED = [lines for _, lines in blocks("console") if "printf" in lines[0]]


@pytest.mark.parametrize("lines", PIPED)
def test_what_is_piped_into_nc_is_answered_as_written(chat_server, lines):
    printf = re.fullmatch(r"\$ (printf '.*') \| nc 127.0.0.1 \d+", lines[0])[1]
    voice = chat_server.raw()
    voice.send_bytes(subprocess.run(printf, shell=True, capture_output=True, timeout=60).stdout)
    voice.end()
    assert voice.rest() == lines[1:]


def test_the_document_has_what_these_tests_look_for():
    assert len(EXCHANGES) >= 8 and PIPED
    assert DOC.count("```") % 2 == 0


def test_the_codes_are_those_of_the_code():
    assert table("code | gRPC status") == [[name, code.status, code.sentence] for name, code in CODES.items()]


def test_the_limits_are_those_of_the_code():
    defaults = {name: str(getattr(Limits(), name)) for name in Limits.__struct_fields__}
    assert {row[0]: row[1] for row in table("limit")} == defaults


def test_the_counts_in_the_text_are_those_of_the_code():
    assert f"last {SAVED_REPLIES} ids" in DOC
    assert f"is from 1 to {PAGE}." in DOC
    assert MEMBERS_SHOWN == 100 and "names the first hundred" in DOC


def spellings(kind: str):
    ((_, (_, *lines)),) = blocks(kind)
    return [line.split() for line in lines]


SAMPLES = {
    **dict.fromkeys(["number", "count", "amount", "limit", "id", "unread", "acknowledged"], "7"),
    **dict.fromkeys(["returned", "delivered", "more"], "yes"),
}


def said(form: str, full: bool) -> str:
    """A line of this form: with all that may be left out, or with nothing of it. A repeated group comes twice."""
    line = re.sub(r"\[(\|[^\[\]]*)\.\.\.\]", r"\1\1" if full else "", form)
    while "[" in line:
        line = re.sub(r"\[([^\[\]]*)\]", r"\1" if full else "", line)
    word, *fields = line.split("|")
    return "|".join([word, *[SAMPLES.get(field, "x") for field in fields]])


FORMS = [(form, says) for kind in ("requests", "replies", "events") for form, says, *_ in spellings(kind)]


@pytest.mark.parametrize("form, says", FORMS, ids=[form for form, _ in FORMS])
@pytest.mark.parametrize("full", [True, False], ids=["in full", "at its shortest"])
def test_a_line_of_the_tables_is_read_as_the_message_it_says(form, says, full):
    _, message = TextCodec().decode(said(form, full).encode() + b"\n")
    assert type(message).__name__ == says
    if full:
        assert TextCodec().encode(None, message).decode() == said(form, True) + "\n"


@pytest.mark.parametrize("form", [form for form, _ in FORMS if "..." not in form and not re.match(r"(6|12)\|", form)])
def test_a_line_of_the_tables_takes_no_field_more(form):
    with pytest.raises(ProtocolError, match="fields"):
        TextCodec().decode(said(form, True).encode() + b"|x\n")


@pytest.mark.parametrize("form", [form for form, _ in FORMS if re.search(r"\|(?!.*\[)|\|.*\[", form.split("[")[0])])
def test_a_line_of_the_tables_needs_every_field_outside_the_brackets(form):
    with pytest.raises(ProtocolError):
        TextCodec().decode(said(form, False).rpartition("|")[0].encode() + b"\n")


def test_the_tables_hold_every_message_in_the_order_of_the_code():
    assert [says for _, says in FORMS] == [kind.__name__ for kind in ENCODERS]
    assert [re.match(r"[^|\[]+", form)[0] for form, _ in FORMS] == list(DECODERS)
    for kind, types in [("requests", REQUESTS), ("replies", REPLIES), ("events", EVENTS)]:
        assert {says for _, says, *_ in spellings(kind)} == {type.__name__ for type in types}


def test_the_replies_in_the_table_are_those_the_messages_promise():
    word_of = {says: re.match(r"[^|\[]+", form)[0] for form, says in FORMS}
    for _, says, reply in spellings("requests"):
        (promised,) = re.findall(r"Answered by `(\w+)`", getattr(messages, says).__doc__)
        assert word_of[promised] == reply


JSON_EXCHANGES = blocks("json-exchange")


@pytest.mark.parametrize("lines", [lines for _, lines in JSON_EXCHANGES])
@pytest.mark.parametrize("engine", ["threads", "loop"])
def test_an_exchange_in_json_happens_as_written(engine, lines):
    with (
        chatlab.serve("json", engine=engine, name=f"doc-{engine}") as server,
        closing(RawClient(server.address)) as voice,
    ):
        for line in lines:
            speaker, _, said = line.partition(": ")
            if speaker == "C":
                voice.send(said)
            else:
                assert voice.line() == said


HEX_EXCHANGES = blocks("hex-exchange")


@pytest.mark.parametrize("protocol, lines", HEX_EXCHANGES, ids=[f"{p}: {lines[0]}" for p, lines in HEX_EXCHANGES])
@pytest.mark.parametrize("engine", ["threads", "loop"])
def test_an_exchange_in_hex_happens_as_written(engine, protocol, lines):
    with (
        chatlab.serve(protocol, engine=engine, name=f"doc-{engine}") as server,
        closing(RawClient(server.address)) as voice,
    ):
        for line in lines:
            speaker, _, said = line.partition(": ")
            if line == "S closes.":
                assert voice.rest() == []
            elif speaker == "C":
                voice.send_bytes(bytes.fromhex(said))
            else:
                assert voice.bytes(len(bytes.fromhex(said))).hex() == bytes.fromhex(said).hex()


def test_there_are_exchanges_in_json_and_in_hex():
    assert JSON_EXCHANGES and {protocol for protocol, _ in HEX_EXCHANGES} == {"binary", "protobuf"}


def test_the_fields_in_the_document_are_those_of_the_messages_in_the_order_of_their_numbers():
    ((_, lines),) = blocks("fields")
    written = [(name, fields) for name, *fields in map(str.split, lines)]
    assert written == [(message.__name__, list(message.__struct_fields__)) for message in MESSAGE_TYPES]
