"""Does a codec, or a server, speak as it should? Ours and anybody's."""

from .report import Report
from .runner import check

__all__ = ["Report", "check"]
