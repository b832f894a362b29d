"""Which code belongs to which part of which protocol."""

from typing import NamedTuple

TEXT, JSON, BINARY, PROTOBUF = ("text",), ("json",), ("binary",), ("protobuf",)
UNARY, STREAM = ("grpc",), ("grpc-stream",)
SOCKETS = TEXT + JSON + BINARY + PROTOBUF
GRPC = UNARY + STREAM
TAGGED = PROTOBUF + STREAM  #: every message with its tag, in an Ask or a Told
PROTO = PROTOBUF + GRPC  #: all that speak protobuf
EVERY = SOCKETS + GRPC

#: What somebody writes for a protocol, in the order in which it is shown.
WRITTEN = ("client", "server", "both ends", "spelling", "framing", "schema")
#: And what is not: it tests, is generated, shows bytes to a reader of the lab, or is the chat, the same for all.
BESIDE = ("tests", "tests in common", "generated", "dissection", "chat")


class Whose(NamedTuple):
    """Which part it is, and of which protocols; `engine` where only "threads" or only the "loop" need it."""

    part: str
    protocols: tuple[str, ...]
    engine: str = ""


_S, _C, _B = "server", "client", "both ends"
REST = "*"  #: all of a file that no other entry names
HEAD = ""  #: its imports and constants; every class and function of such a file has to be named

#: Whose every class and function is that carries or spells a protocol, by file and name. A method may be claimed apart
#: from its class; the claim that names it most closely holds.
CLAIMS: dict[str, dict[str, Whose]] = {
    "codecs/interface.py": {REST: Whose("spelling", SOCKETS)},
    "codecs/text.py": {
        REST: Whose("spelling", TEXT),
        "_Annotator TextCodec.spans": Whose("dissection", TEXT),
    },
    "codecs/json_lines.py": {
        REST: Whose("spelling", JSON),
        "_Annotator _loaded _TOKEN _PUNCTUATION JsonCodec.spans": Whose("dissection", JSON),
    },
    "codecs/binary.py": {
        REST: Whose("spelling", BINARY),
        "_Reader.note BinaryCodec.spans": Whose("dissection", BINARY),
    },
    "codecs/protobuf.py": {
        REST: Whose("spelling", PROTOBUF),
        "_plain ProtobufCodec.spans": Whose("dissection", PROTOBUF),
    },
    "codecs/connection.py": {REST: Whose("framing", SOCKETS)},
    "socket_impl.py": {
        HEAD: Whose(_B, SOCKETS),
        "SocketImplementation": Whose(_B, SOCKETS),
        "SocketImplementation.serve listen spell _spell_one": Whose(_S, SOCKETS),
        "ThreadServer _ThreadClient": Whose(_S, SOCKETS, "threads"),
        "LoopServer _LoopClient": Whose(_S, SOCKETS, "loop"),
        "SocketImplementation.connect SocketImplementation.connect_async": Whose(_C, SOCKETS),
    },
    "transport/socket_client.py": {
        HEAD: Whose(_C, SOCKETS),
        "last_words end_of codec_failed": Whose(_C, SOCKETS),
        "SocketTransport _wait_until_writable": Whose(_C, SOCKETS, "threads"),
        "AsyncSocketTransport": Whose(_C, SOCKETS, "loop"),
    },
    "transport/pending.py": {
        HEAD: Whose(_C, SOCKETS + STREAM),
        "timeout_error again _reply": Whose(_C, SOCKETS + STREAM),
        "PendingReplies": Whose(_C, SOCKETS + STREAM, "threads"),
        "AsyncPendingReplies _settle_future": Whose(_C, SOCKETS + STREAM, "loop"),
    },
    "grpc_impl.py": {
        HEAD: Whose(_B, GRPC),
        "GrpcImplementation": Whose(_B, GRPC),
        "unary": Whose(_B, UNARY),
        "stream": Whose(_B, STREAM),
        # server
        "GrpcImplementation.serve listen _servicer _not_fitting _status _peer": Whose(_S, GRPC),
        "_server_options _REFLECTED": Whose(_S, GRPC),
        "_GONE _TELLS_EVENTS_BEFORE _Outbox _spell_reply _spell_event": Whose(_S, UNARY),
        "_spell_told _understand": Whose(_S, STREAM),
        "ThreadServer _ThreadClient _Pool": Whose(_S, GRPC, "threads"),
        "ThreadServer._find ThreadServer.verb ThreadServer.events ThreadServer.end _ThreadClient.answer": Whose(_S, UNARY, "threads"),
        "ThreadServer.stream _ThreadClient.read": Whose(_S, STREAM, "threads"),
        "LoopServer _LoopClient": Whose(_S, GRPC, "loop"),
        "LoopServer._find LoopServer.verb LoopServer.events LoopServer.end _LoopClient.answer _settle": Whose(_S, UNARY, "loop"),
        "LoopServer.stream _LoopClient.read": Whose(_S, STREAM, "loop"),
        # client
        "GrpcImplementation.connect GrpcImplementation.connect_async": Whose(_C, GRPC),
    },
    "transport/grpc_common.py": {
        HEAD: Whose(_B, GRPC),
        "metadata_value size_error install_log_filter _not_spurious KEEPALIVE_OPTIONS CLIENT_OPTIONS MAX_FRAME MAX_PENDING":
            Whose(_B, GRPC),
        "NOT_TO_OVERTAKE AFTER_EVENTS": Whose(_C, UNARY),
    },
    "transport/grpc_client.py": {
        HEAD: Whose(_C, GRPC),
        "fitting refused_by lost_by broken": Whose(_C, GRPC),
        "deadline_s refusal_of": Whose(_C, UNARY),
        "SessionStream": Whose(_C, GRPC, "threads"),
        "UnaryTransport": Whose(_C, UNARY, "threads"),
        "StreamTransport": Whose(_C, STREAM, "threads"),
        "AsyncSessionStream": Whose(_C, GRPC, "loop"),
        "AsyncUnaryTransport _answer": Whose(_C, UNARY, "loop"),
        "AsyncStreamTransport _until_none": Whose(_C, STREAM, "loop"),
    },
    "proto/__init__.py": {REST: Whose("spelling", PROTO)},
    "proto/convert.py": {
        HEAD: Whose("spelling", PROTO),
        "to_proto from_proto _wrapped _unwrapped _Row _reader _field_reader _default": Whose("spelling", PROTO),
        "to_ask from_ask to_told from_told _tag": Whose("spelling", TAGGED),
        "to_event from_event": Whose("spelling", UNARY),
    },
    "proto/spans.py": {REST: Whose("dissection", PROTO)},
    "proto/chat.proto": {
        REST: Whose("schema", PROTO),
        "Chat": Whose("schema", GRPC),
        "Subscribe Unsubscribe Event": Whose("schema", UNARY),
        "Ask Told": Whose("schema", TAGGED),
    },
    "proto/chat_pb2.py": {REST: Whose("generated", PROTO)},
    "proto/chat_pb2.pyi": {REST: Whose("generated", PROTO)},
    "proto/chat_pb2_grpc.py": {REST: Whose("generated", GRPC)},
    # the suite that every protocol has to pass
    "conformance/runner.py": {REST: Whose("tests in common", EVERY)},
    "conformance/report.py": {REST: Whose("tests in common", EVERY)},
    "conformance/fixtures.py": {REST: Whose("tests in common", EVERY)},
    "conformance/chat_cases.py": {REST: Whose("tests in common", EVERY)},
    "conformance/robustness_cases.py": {REST: Whose("tests in common", EVERY)},
    "conformance/codec_cases.py": {REST: Whose("tests", SOCKETS)},
    "conformance/framing_cases.py": {REST: Whose("tests", SOCKETS)},
    # what is said and meant, and what both ends of every protocol build on
    **{
        f"{name}.py": {REST: Whose("chat", EVERY)}
        for name in (
            "messages", "chat/service", "chat/storage", "chat/hub", "chat/passwords", "transport/async_client", "transport/client",
            "transport/client_state", "transport/event_loop",
            "transport/interface", "transport/read_state", "transport/serving",
        )
    },
}  # fmt: skip

#: Whose tests are in which file of `tests/`. The pitfalls are asked in the text protocol, and are about the chat, most of
#: them: they are common to all, and the few about framing are so to the sockets' advantage.
TESTS: dict[str, Whose] = {
    "codecs/test_text_codec.py": Whose("tests", TEXT),
    "codecs/test_codecs.py": Whose("tests", SOCKETS),
    "helpers/strategies.py": Whose("tests", SOCKETS),
    "codecs/test_vectors.py": Whose("tests", SOCKETS),
    "codecs/test_connection.py": Whose("tests", SOCKETS),
    "test_socket_impl.py": Whose("tests", SOCKETS),
    "test_grpc_impl.py": Whose("tests", GRPC),
    "transport/test_same_transcript.py": Whose("tests in common", EVERY),
    "transport/test_regressions.py": Whose("tests in common", EVERY),
    "helpers/raw_client.py": Whose("tests in common", EVERY),
}
