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
HANDWRITTEN = ("client", "server", "both ends", "spelling", "framing", "schema")
#: And what is not: it tests, is generated, shows bytes to a reader of the lab, or is the chat, the same for all.
EXCLUDED = ("tests", "tests in common", "generated", "dissection", "chat")


class Owner(NamedTuple):
    """Which part it is, and of which protocols; `engine` where only "threads" or only the "loop" need it."""

    part: str
    protocols: tuple[str, ...]
    engine: str = ""


_S, _C, _B = "server", "client", "both ends"
REST = "*"  #: all of a file that no other entry names
HEAD = ""  #: its imports and constants; every class and function of such a file has to be named

#: Owner every class and function is that carries or spells a protocol, by file and name. A method may be claimed apart
#: from its class; the claim that names it most closely holds.
OWNERSHIP: dict[str, dict[str, Owner]] = {
    "codecs/interface.py": {REST: Owner("spelling", SOCKETS)},
    "codecs/text.py": {
        REST: Owner("spelling", TEXT),
        "_Annotator TextCodec.spans": Owner("dissection", TEXT),
    },
    "codecs/json_lines.py": {
        REST: Owner("spelling", JSON),
        "_Annotator _loaded _TOKEN _PUNCTUATION JsonCodec.spans": Owner("dissection", JSON),
    },
    "codecs/binary.py": {
        REST: Owner("spelling", BINARY),
        "_Reader.note BinaryCodec.spans": Owner("dissection", BINARY),
    },
    "codecs/protobuf.py": {
        REST: Owner("spelling", PROTOBUF),
        "_plain ProtobufCodec.spans": Owner("dissection", PROTOBUF),
    },
    "codecs/connection.py": {REST: Owner("framing", SOCKETS)},
    "socket_impl.py": {
        HEAD: Owner(_B, SOCKETS),
        "SocketImplementation": Owner(_B, SOCKETS),
        "SocketImplementation.serve encode_batch _encode_one codec_failed": Owner(_S, SOCKETS),
        "ThreadServer ThreadConnection": Owner(_S, SOCKETS, "threads"),
        "LoopServer LoopConnection": Owner(_S, SOCKETS, "loop"),
        "SocketImplementation.connect SocketImplementation.connect_async": Owner(_C, SOCKETS),
    },
    "transport/socket_client.py": {
        HEAD: Owner(_C, SOCKETS),
        "last_words end_of codec_failed": Owner(_C, SOCKETS),
        "SocketTransport _wait_until_writable": Owner(_C, SOCKETS, "threads"),
        "AsyncSocketTransport": Owner(_C, SOCKETS, "loop"),
    },
    "transport/pending.py": {
        HEAD: Owner(_C, SOCKETS + STREAM),
        "timeout_error again _reply": Owner(_C, SOCKETS + STREAM),
        "PendingReplies": Owner(_C, SOCKETS + STREAM, "threads"),
        "AsyncPendingReplies _settle_future": Owner(_C, SOCKETS + STREAM, "loop"),
    },
    "grpc_impl.py": {
        HEAD: Owner(_B, GRPC),
        "GrpcImplementation": Owner(_B, GRPC),
        "grpc_unary": Owner(_B, UNARY),
        "grpc_stream": Owner(_B, STREAM),
        # server
        "GrpcImplementation.serve": Owner(_S, GRPC),
        "ThreadServer ThreadConnection": Owner(_S, GRPC, "threads"),
        "ThreadServer._find ThreadServer.verb ThreadServer.events ThreadServer.end ThreadConnection.answer":
            Owner(_S, UNARY, "threads"),
        "ThreadServer.stream ThreadConnection.read": Owner(_S, STREAM, "threads"),
        "LoopServer LoopConnection": Owner(_S, GRPC, "loop"),
        "LoopServer._find LoopServer.verb LoopServer.events LoopServer.end LoopConnection.answer _settle":
            Owner(_S, UNARY, "loop"),
        "LoopServer.stream LoopConnection.read": Owner(_S, STREAM, "loop"),
        # client
        "GrpcImplementation.connect GrpcImplementation.connect_async": Owner(_C, GRPC),
    },
    "transport/grpc_serving.py": {
        HEAD: Owner(_S, GRPC),
        "listen server_options status_of peer_of add_services Calls _too_large": Owner(_S, GRPC),
        "CallReply ReplyTo CallOutbox encode_reply encode_event SESSION_ENDED": Owner(_S, UNARY),
        "encode_stream_message parse_request": Owner(_S, STREAM),
        "DaemonPool": Owner(_S, GRPC, "threads"),
    },
    "transport/grpc_logging.py": {REST: Owner(_B, GRPC)},
    "transport/grpc_common.py": {
        HEAD: Owner(_B, GRPC),
        "metadata_value size_error KEEPALIVE_OPTIONS CLIENT_OPTIONS MAX_FRAME MAX_PENDING":
            Owner(_B, GRPC),
        "NOT_TO_OVERTAKE AFTER_EVENTS": Owner(_C, UNARY),
    },
    "transport/grpc_client.py": {
        HEAD: Owner(_C, GRPC),
        "fitting refused_by lost_by broken": Owner(_C, GRPC),
        "deadline_s refusal_of": Owner(_C, UNARY),
        "SessionStream": Owner(_C, GRPC, "threads"),
        "UnaryTransport": Owner(_C, UNARY, "threads"),
        "StreamTransport": Owner(_C, STREAM, "threads"),
        "AsyncSessionStream": Owner(_C, GRPC, "loop"),
        "AsyncUnaryTransport _answer": Owner(_C, UNARY, "loop"),
        "AsyncStreamTransport _until_none": Owner(_C, STREAM, "loop"),
    },
    "proto/__init__.py": {REST: Owner("spelling", PROTO)},
    "proto/convert.py": {
        HEAD: Owner("spelling", PROTO),
        "to_proto from_proto _wrapped _unwrapped _Row _reader _field_reader _default": Owner("spelling", PROTO),
        "to_ask from_ask to_told from_told _tag": Owner("spelling", TAGGED),
        "to_event from_event": Owner("spelling", UNARY),
    },
    "proto/spans.py": {REST: Owner("dissection", PROTO)},
    "proto/chat.proto": {
        REST: Owner("schema", PROTO),
        "Chat": Owner("schema", GRPC),
        "Subscribe Unsubscribe Event": Owner("schema", UNARY),
        "Ask Told": Owner("schema", TAGGED),
    },
    "proto/chat_pb2.py": {REST: Owner("generated", PROTO)},
    "proto/chat_pb2.pyi": {REST: Owner("generated", PROTO)},
    "proto/chat_pb2_grpc.py": {REST: Owner("generated", GRPC)},
    # the suite that every protocol has to pass
    "conformance/runner.py": {REST: Owner("tests in common", EVERY)},
    "conformance/report.py": {REST: Owner("tests in common", EVERY)},
    "conformance/fixtures.py": {REST: Owner("tests in common", EVERY)},
    "conformance/chat_cases.py": {REST: Owner("tests in common", EVERY)},
    "conformance/robustness_cases.py": {REST: Owner("tests in common", EVERY)},
    "conformance/codec_cases.py": {REST: Owner("tests", SOCKETS)},
    "conformance/framing_cases.py": {REST: Owner("tests", SOCKETS)},
    # what is said and meant, and what both ends of every protocol build on
    **{
        f"{name}.py": {REST: Owner("chat", EVERY)}
        for name in (
            "messages", "chat/service", "chat/storage", "chat/hub", "chat/passwords", "transport/async_client", "transport/client",
            "transport/client_state", "transport/event_loop",
            "transport/interface", "transport/read_state", "transport/serving",
        )
    },
}  # fmt: skip

#: Owner tests are in which file of `tests/`. The pitfalls are asked in the text protocol, and are about the chat, most of
#: them: they are common to all, and the few about framing are so to the sockets' advantage.
TESTS: dict[str, Owner] = {
    "codecs/test_text_codec.py": Owner("tests", TEXT),
    "codecs/test_codecs.py": Owner("tests", SOCKETS),
    "helpers/strategies.py": Owner("tests", SOCKETS),
    "codecs/test_vectors.py": Owner("tests", SOCKETS),
    "codecs/test_connection.py": Owner("tests", SOCKETS),
    "test_socket_impl.py": Owner("tests", SOCKETS),
    "test_grpc_impl.py": Owner("tests", GRPC),
    "transport/test_same_transcript.py": Owner("tests in common", EVERY),
    "transport/test_regressions.py": Owner("tests in common", EVERY),
    "helpers/raw_client.py": Owner("tests in common", EVERY),
}
