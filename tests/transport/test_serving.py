"""What every server shares, without any connection."""

import time

from chatlab.chat.hub import Outbox
from chatlab.messages import Limits
from chatlab.transport.serving import ConnectionTimeouts, TimeoutResult


def test_a_newcomer_that_asks_nothing_is_sent_away_and_one_that_has_asked_stays():
    timeouts, outbox = ConnectionTimeouts(Limits(first_frame_s=5)), Outbox(lambda: None)
    later = time.monotonic() + 6
    assert timeouts.check(later, outbox, has_asked=True) is TimeoutResult.NONE
    assert timeouts.check(later, outbox, has_asked=False) is TimeoutResult.SAY_GOODBYE
    assert timeouts.reason == "no complete request within 5 s"


def test_a_peer_has_its_time_to_read_its_last_words_and_is_cut_off_then():
    timeouts, outbox = ConnectionTimeouts(Limits(linger_s=2)), Outbox(lambda: None)
    outbox.end("the server stops")
    results = [timeouts.check(now, outbox, has_asked=True) for now in (100.0, 101.0, 102.5)]
    assert results == [TimeoutResult.NONE, TimeoutResult.NONE, TimeoutResult.ABORT]
