"""What a protocol's name, a codec or a reader's own transport stands for, and what is filled in for it."""

import pickle
import subprocess
import sys

import pytest
from student_codec import StudentCodec

import chatlab
from chatlab.transport import registry
from chatlab.transport.interface import ENGINES
from chatlab.transport.registry import one_by_one, pack, resolve, unpack


class Courier:
    """The least that a transport of a reader's own has. It carries the text protocol."""

    def serve(self, hub, engine, host, port):
        return resolve("text").serve(hub, engine=engine, host=host, port=port)

    def connect(self, address):
        return resolve("text").connect(address)


def test_what_a_readers_transport_does_not_declare_is_filled_in():
    courier = resolve(Courier)
    assert (courier.name, courier.codec, courier.verbs, courier.engines) == ("Courier", None, None, ENGINES)


def test_a_readers_transport_is_served_with_no_more_than_serve_and_connect():
    with chatlab.serve(Courier()) as server:
        ann, bob = server.users("ann", "bob")
        ann.send("bob", "hi")
        assert bob.receive(timeout_s=5).text == "hi"


@pytest.mark.parametrize("protocol", [Courier, StudentCodec, "text", "grpc", "student_codec:StudentCodec"])
def test_what_was_resolved_can_be_handed_to_another_process(protocol):
    implementation = resolve(protocol)
    copy = unpack(pack(implementation))
    assert (copy.name, type(copy), type(copy.codec)) == (
        implementation.name,
        type(implementation),
        type(implementation.codec),
    )


def test_what_cannot_be_pickled_is_refused_in_words():
    class Local(Courier):
        pass

    with pytest.raises(ValueError, match='cannot be handed to another process: .*; name it "module:NAME"'):
        pack(resolve(Local))


def test_what_is_resolved_once_is_resolved():
    for protocol in ("text", "grpc", Courier):
        implementation = resolve(protocol)
        assert resolve(implementation) is implementation


@pytest.mark.parametrize("nonsense", [5, None, object(), {"text"}])
def test_an_object_that_is_no_protocol_is_a_type_error(nonsense):
    with pytest.raises(TypeError, match="is neither an Implementation"):
        resolve(nonsense)


def test_protocols_come_side_by_side_or_as_one_list():
    assert one_by_one(("text", "grpc")) == one_by_one((["text", "grpc"],)) == ("text", "grpc")
    with pytest.raises(ValueError, match="side by side, or as one list"):
        one_by_one((["text"], "grpc"))


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """An installed package that names a protocol of its own."""
    folder = tmp_path / "courier-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: courier\nVersion: 1.0\n")
    (folder / "entry_points.txt").write_text("[chatlab.protocols]\ncourier = student_codec:StudentCodec\n")
    monkeypatch.syspath_prepend(tmp_path)


def test_an_installed_package_can_name_protocols_of_its_own(installed):
    assert isinstance(resolve("courier").codec, StudentCodec)
    with pytest.raises(ValueError, match="no protocol is called 'courrier'; there are text, .*, courier, and"):
        resolve("courrier")


def test_a_registered_name_is_known_with_its_port(monkeypatch):
    for table in ("_paths", "_ports"):
        monkeypatch.setattr(registry, table, dict(getattr(registry, table)))
    monkeypatch.setattr(registry, "PROTOCOLS", registry._paths)
    registry.register("student", "student_codec:StudentCodec", port=2499)
    assert isinstance(resolve("student").codec, StudentCodec) and registry._ports["student"] == 2499


def test_serving_one_protocol_loads_none_of_the_others():
    program = "import sys, chatlab; chatlab.serve('text').close(); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    loaded = set(done.stdout.split())
    assert not {"google", "grpc", "importlib.metadata", "numpy", "chatlab.grpc_impl", "chatlab.codecs.binary"} & loaded


def test_adopting_survives_pickling_where_nothing_is_declared():
    assert pickle.loads(pickle.dumps(resolve(Courier()))).engines == ENGINES
