"""What the tests share: servers on both engines, and a watch over background threads."""

import functools
import logging
import os
import threading

import argon2
import pytest
from hypothesis import settings
from raw_client import ChatServer

# Hundreds of processes start here. Without bytecode on disk, as in many a container, each would compile chatlab again.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

settings.register_profile("chatlab", deadline=None, max_examples=50, derandomize=True)
settings.load_profile("chatlab")


@pytest.fixture
def no_background_output(capfd, caplog):
    """Fails the test where a background thread raised, or a server printed or logged."""
    raised = []
    hook, threading.excepthook = threading.excepthook, raised.append
    with caplog.at_level(logging.WARNING):
        yield
    threading.excepthook = hook
    assert not raised, f"a background thread raised {raised[0].exc_type.__name__}: {raised[0].exc_value}"
    assert not caplog.records, caplog.text
    said = capfd.readouterr()
    assert not said.out + said.err, f"a server printed {said.out + said.err!r}"


@pytest.fixture
def cheap_hashes(monkeypatch):
    """Argon2id with the least memory and time, where nothing depends on how long a hash takes."""
    monkeypatch.setattr(
        "argon2.PasswordHasher", functools.partial(argon2.PasswordHasher, time_cost=1, memory_cost=8, parallelism=1)
    )


@pytest.fixture(params=["threads", "loop"])
def engine(request) -> str:
    """Each test that asks for it runs on the server with threads and on the server with an event loop."""
    return request.param


@pytest.fixture
def fast_timeouts(monkeypatch):
    """Our servers look for silent and for slow peers so often that no test waits for it."""
    monkeypatch.setattr("chatlab.socket_impl.CHECK_TIMEOUTS_S", 0.02)
    monkeypatch.setattr("chatlab.grpc_impl.CHECK_TIMEOUTS_S", 0.02)


@pytest.fixture
def start_server(engine, no_background_output, fast_timeouts):
    """Starts as many chat servers as a test needs, with what `ChatServer` takes, and closes them all."""
    chat_servers = []

    def start_server(*args, **options) -> ChatServer:
        chat_servers.append(ChatServer(engine, *args, **options).__enter__())
        return chat_servers[-1]

    yield start_server
    for chat_server in chat_servers:
        chat_server.__exit__()


@pytest.fixture
def chat_server(start_server) -> ChatServer:
    """A chat server with the default limits."""
    return start_server()


@pytest.fixture
def brief_calibrations(monkeypatch):
    """Load generators are calibrated once and briefly, where a test needs a calibration but not an exact one."""
    monkeypatch.setattr("chatlab.measurement.calibration.CALIBRATED_TIMES", 1)
    monkeypatch.setattr("chatlab.measurement.calibration.CALIBRATE_S", 0.05)
    monkeypatch.setattr("chatlab.measurement.calibration.CALIBRATE_WARM_UP_S", 0.02)
