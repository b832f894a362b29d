"""Any message whatsoever, for tests that hold for every message and every codec."""

from hypothesis import strategies as st

from chatlab.messages import EVENTS, REPLIES, REQUESTS, Arrived

TEXTS = st.text(st.characters(codec="utf-8"), max_size=30) | st.text(
    st.sampled_from("|\\\n\rpnr#@!\0\"'{}[]\u2028é🙂"), max_size=12
)
NUMBERS = st.integers(-(2**63), 2**63 - 1) | st.integers(0, 200)
TAGS = st.none() | st.integers(1, 2**63 - 1) | st.integers(1, 300)
_VALUES = {str: TEXTS, int: NUMBERS, bool: st.booleans()}
_VALUES |= {
    tuple[int, ...]: st.lists(NUMBERS, max_size=5).map(tuple),
    tuple[str, ...]: st.lists(TEXTS, max_size=5).map(tuple),
    tuple[Arrived, ...]: st.lists(st.builds(Arrived, NUMBERS, TEXTS, TEXTS, st.booleans()), max_size=4).map(tuple),
}


def any_of(*kinds):
    return st.one_of([st.builds(kind, **{f: _VALUES[t] for f, t in kind.__annotations__.items()}) for kind in kinds])


ANY_REQUEST = any_of(*REQUESTS)
ANY_ANSWER = any_of(*REPLIES, *EVENTS)
ANY_MESSAGE = ANY_REQUEST | ANY_ANSWER
