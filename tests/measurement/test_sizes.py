"""The size table: the same operation saying little and much, layer by layer; and where the lines of overhead cross."""

import pytest
from external_adapter import Bazaar
from matplotlib import pyplot
from matplotlib.figure import Figure
from raw_client import DEADLINE_S, until
from sample_results import HERE

import chatlab
from chatlab.capture.layers import LAYERS, LayerBytes
from chatlab.capture.tcp_info import tcp_bytes
from chatlab.capture.tcp_relay import relay
from chatlab.measurement import byte_counts as counting
from chatlab.measurement.byte_counts import count_bytes
from chatlab.measurement.sizes import (
    AWKWARD,
    GREEK,
    MANY_IDS,
    OPERATIONS,
    PROSE,
    SIZES,
    TEXTS,
    SizeRow,
    SizeTable,
    count_overhead,
    count_sizes,
    in_lines,
)
from chatlab.messages import Send

PROTOCOLS = ["text", "json", "binary", "protobuf", "grpc", "grpc-stream"]
SENDS = [(size, operation) for size, operation in OPERATIONS if operation.name == "send"]


def sized(name, *sizes):
    return [each for each in OPERATIONS if each[1].name == name and each[0] in sizes]


@pytest.fixture(scope="module", params=PROTOCOLS)
def table(request):
    return count_sizes(request.param, operations=[*SENDS, *sized("push", "small"), *sized("delete_messages", MANY_IDS)])


def a_table():
    def row(protocol, size, information, overhead):
        return SizeRow(protocol, "send", size, LayerBytes(information, overhead, 0, 0, 52), LayerBytes())

    rows = [row("text", "few", 10, 5), row("text", "some", 20, 15), row("text", "many", 40, 60)]
    rows += [row("grpc", "few", 10, 30), row("grpc", "some", 20, 30), row("grpc", "many", 40, 30)]
    return SizeTable(tuple(rows), HERE)


def total(table, size, operation="send"):
    return table[table.protocols[0], operation, size].total


def test_the_three_texts_in_the_middle_are_equally_long():
    assert {len(text.encode()) for text in (PROSE, GREEK, AWKWARD)} == {100}


def test_every_size_occurs():
    assert {size for size, _ in OPERATIONS} == set(SIZES)


def test_the_layers_are_the_bytes_that_count_bytes_counts(table, monkeypatch):
    monkeypatch.setattr(
        counting, "OPERATIONS", [each for each in counting.OPERATIONS if each.name == "send 2 characters"]
    )
    [counted] = [row for row in count_bytes(*table.protocols).rows if row.operation == "send 2 characters"]
    row = table[table.protocols[0], "send", "small"]
    assert (row.up.bytes, row.down.bytes) == (counted.steady.up, counted.steady.down)


def test_the_information_is_the_message_whatever_carries_it(table):
    name = table.protocols[0]
    for size, text in TEXTS.items():
        assert table[name, "send", size].up.information == 1 + len("bob") + len(text.encode())
    assert table[name, "push", "small"].both.information == 1 + len("ann") + len("hi") + 1


def test_what_is_not_ascii_costs_its_bytes_and_nothing_more(table):
    assert total(table, "non-ASCII") == total(table, "medium")


def test_delimiters_cost_only_those_who_have_delimiters(table):
    assert (total(table, "awkward") > total(table, "medium")) == (table.protocols[0] in ("text", "json"))


def test_only_http2_costs_http2(table):
    assert all(bool(row.both.http2) == table.protocols[0].startswith("grpc") for row in table.rows)


def test_a_pushed_message_is_counted_without_its_acknowledgement(table):
    row = table[table.protocols[0], "push", "small"]
    assert row.up.information == row.up.encoding == row.up.framing == 0


def test_a_codecs_frames_are_what_is_counted():
    codec = chatlab.resolve("binary").codec
    table = count_overhead("binary", sizes=[1, 200])
    assert [row.up.bytes for row in table.rows] == [len(codec.encode(70, Send("bob", in_lines(n)))) for n in (1, 200)]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_tape_kernel_and_fields_agree_in_every_size(protocol):
    with chatlab.serve(protocol, name=f"sizes {protocol}") as server, relay(server) as tap:
        ann = tap.connect()
        ann.create_account("ann")
        for text in TEXTS.values():
            ann.send("ann", text)
            ann.receive(DEADLINE_S)
        ann.delete_messages(tuple(range(1001, 1101)))
        if tcp_bytes(tap.address) is None:
            pytest.skip("this kernel has no TCP_INFO that tells the bytes")
        until(lambda: tap.traffic_since() == tcp_bytes(tap.address))
        frames = tap.frames
        assert (
            sum(field.size for frame in frames for field in frame.fields)
            == frames.bytes_by_layer().bytes
            == tap.traffic_since().total
        )


# ---- crossings --------------------------------------------------------------------------------------------------


def test_a_foreign_server_is_counted_in_the_sizes_that_it_can_carry():
    assert set(count_sizes(Bazaar).sizes) == {"empty", "small", "medium", "non-ASCII", "awkward"}


def test_lines_cross_where_they_cross():
    found = [(c.protocol, c.crosses, c.information, c.overhead) for c in a_table().crossings()]
    # text rises from 15 at 20 to 60 at 40: it meets 20 + 20/3 = 26 2/3 there, and the diagonal between 15 < 20 and 60 > 40.
    assert found == [
        ("text", "", pytest.approx(24), pytest.approx(24)),
        ("text", "grpc", pytest.approx(26 + 2 / 3), 30),
        ("grpc", "", 30, 30),
    ]


def test_lines_that_only_touch_the_same_places_do_not_cross():
    same = SizeTable(
        tuple([SizeRow(p, "send", s, LayerBytes(n, 50), LayerBytes()) for p in "ab" for s, n in (("x", 1), ("y", 2))]),
        HERE,
    )
    assert same.crossings() == ()


# ---- how it is shown --------------------------------------------------------------------------------------------


def test_a_part_of_a_table_is_a_table():
    part = a_table().where(protocol=("text",), size="few")
    assert [row.size for row in part.rows] == ["few"] and part.protocols == ("text",)


def test_sizes_stand_in_the_order_of_the_operation_that_has_most():
    rows = [
        SizeRow("text", name, size, LayerBytes(1), LayerBytes())
        for name, size in (("ping", "b"), ("send", "a"), ("send", "b"), ("find", "c"))
    ]
    assert SizeTable(tuple(rows), HERE).sizes == ("a", "b", "c")


def test_a_table_is_saved_and_loaded(tmp_path):
    assert SizeTable.load(a_table().save(tmp_path / "sizes.json")) == a_table()


def test_its_repr_does_not_change_with_the_numbers():
    assert repr(a_table()) == "<SizeTable of text, grpc: send in 3 sizes>"


def test_its_text_has_a_row_for_each_protocol_and_a_column_for_each_size():
    lines = str(a_table()).splitlines()
    assert lines[2].split() == ["operation", "protocol", "few", "some", "many"]
    assert lines[4].split() == ["send", "text", "15", "35", "100"] and lines[5].split() == ["grpc", "40", "50", "70"]


def test_a_data_frame_has_every_layer():
    frame = a_table().to_frame()
    assert len(frame) == 6 and [f"up: {layer}" for layer in LAYERS] == list(frame.columns[3:8])


@pytest.mark.parametrize("draw", [SizeTable.plot, SizeTable.plot_overhead])
def test_a_plot_is_drawn_where_it_is_asked_for_and_says_what_is_to_be_seen(draw):
    ax = Figure().subplots()
    assert draw(a_table(), ax) is ax and pyplot.get_fignums() == []
    assert "text" in ax.sentence and "grpc" in ax.sentence


def test_the_plot_of_overhead_names_the_crossings():
    ax = a_table().plot_overhead(Figure().subplots())
    assert "text and grpc meet at 27" in ax.sentence
    assert {"24", "27", "30"} <= {text.get_text() for text in ax.texts}


@pytest.mark.parametrize("count", [count_bytes, chatlab.count_sizes, chatlab.complexity])
def test_a_list_among_other_protocols_is_refused_in_words(count):
    with pytest.raises(ValueError, match="side by side, or as one list"):
        count("json", ["text", "grpc"])


def test_one_list_of_protocols_is_understood():
    assert (
        chatlab.complexity(["text", "grpc"]).protocols
        == chatlab.complexity("text", "grpc").protocols
        == ("text", "grpc")
    )
