"""Where a chat is shown and typed: a real terminal, or plain lines in a pipe or a terminal that can do nothing else.

Whatever is shown passes `escape_control` first: nothing that others wrote can move the cursor, change a colour or
reverse a line. Nothing here knows what is said.
"""

import asyncio
import os
import sys
import threading
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from typing import Protocol, Self

from ..messages import ChatlabError

PROMPT = "You: "  # the question whose answers are remembered, and whose first words are completed

PLAIN, QUESTION, NOTE, PRIVATE, TROUBLE = "", "fg:ansidefault bold", "fg:ansicyan", "fg:ansimagenta", "fg:ansired"


# ---- what may reach a terminal ----------------------------------------------------------------------------------

JOINERS = "\u200c\u200d"  # they join letters and emoji, and move nothing


def escape_control(text: str) -> str:
    """The text with every character that would act on a terminal, or hide in it, written as its escape.

    >>> print(escape_control("a\\x1b[2Jb\\u202ec\\nd"))
    a\\x1b[2Jb\\u202ec\\nd
    """
    if text.isprintable():
        return text
    return "".join([c if _is_harmless(c) else c.encode("unicode_escape").decode() for c in text])


def _is_harmless(c: str) -> bool:
    return c in JOINERS or unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Zl", "Zp")


CONTINUED = " " * 4  # before each further line of a text, so that none looks like a line of somebody else


def indented(text: str) -> str:
    """A text of several lines, each made harmless and all but the first indented.

    >>> print(indented("bob: one\\ntwo\\x07"))
    bob: one
        two\\x07
    """
    return f"\n{CONTINUED}".join(map(escape_control, text.rstrip("\n").split("\n")))


# ---- two screens ------------------------------------------------------------------------------------------------


class Interrupted(ChatlabError, EOFError):
    """Nothing more is typed, because Ctrl-C was."""


class Screen(Protocol):
    """Where the chat is shown and typed. A context manager: it is a screen only inside."""

    def show(self, text: str, style: str = PLAIN) -> None:
        """Show a text above what is being typed, made harmless."""

    async def ask(self, question: str, hidden: bool = False) -> str:
        """The line typed in answer. Raises `EOFError` when nothing more is typed, and `Interrupted` after Ctrl-C."""


class TerminalScreen:
    """A real terminal: a line can be edited while other lines appear above it."""

    def __init__(self, words: list[str]) -> None:
        # Cursor position reports are only good for placing menus, and terminals that lack them get a warning.
        os.environ.setdefault("PROMPT_TOOLKIT_NO_CPR", "1")
        from prompt_toolkit import PromptSession
        from prompt_toolkit.completion import WordCompleter
        from prompt_toolkit.shortcuts import CompleteStyle

        self._new_session = PromptSession
        self._session: PromptSession[str] = PromptSession(
            completer=WordCompleter(words, sentence=True),
            complete_while_typing=False,
            complete_style=CompleteStyle.READLINE_LIKE,
        )

    def __enter__(self) -> Self:
        self._echo = _no_echo()
        self._echo.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._echo.__exit__(None, None, None)

    def show(self, text: str, style: str = PLAIN) -> None:
        # `run_in_terminal` would leave raw mode meanwhile, and the terminal echo a key pressed in that moment.
        from prompt_toolkit.application.current import get_app_or_none
        from prompt_toolkit.renderer import print_formatted_text
        from prompt_toolkit.styles import default_ui_style

        app = get_app_or_none()
        if app is not None and not app.is_running:
            app = None
        if app is not None:
            app.renderer.erase()
        print_formatted_text(self._session.output, [(style, indented(text)), ("", "\n")], default_ui_style())
        if app is not None:
            app.invalidate()

    async def ask(self, question: str, hidden: bool = False) -> str:
        session = self._session if question == PROMPT else self._new_session(is_password=hidden)
        try:
            # A space at the end without a colour would be a move of the cursor, and scripts wait for "You: ".
            return await session.prompt_async([(QUESTION, question)])
        except KeyboardInterrupt:
            raise Interrupted from None


@contextmanager
def _no_echo() -> Iterator[None]:
    """Between two prompts the terminal would echo what is typed ahead into the middle of what is shown."""
    try:
        import termios
    except ImportError:  # Windows has no such mode to leave
        yield
        return
    before = termios.tcgetattr(sys.stdin)
    silent = termios.tcgetattr(sys.stdin)
    silent[3] &= ~termios.ECHO
    termios.tcsetattr(sys.stdin, termios.TCSADRAIN, silent)
    try:
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


class PipeScreen:
    """Standard input and output as plain lines.

    What was read is written too, so the output is the whole talk; where a terminal shows what is typed, it is not.
    """

    def __init__(self, has_echo: bool = False) -> None:
        # Unbuffered: a thread that waits in a buffered read holds a lock that the interpreter needs to end.
        self._lines = open(sys.stdin.fileno(), "rb", buffering=0, closefd=False)  # noqa: SIM115
        self._open_question = ""
        self._has_echo = has_echo

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def show(self, text: str, style: str = PLAIN) -> None:
        if self._open_question:
            print()
        print(indented(text))
        print(end=self._open_question, flush=True)

    async def ask(self, question: str, hidden: bool = False) -> str:
        self._open_question = question
        print(end=question, flush=True)
        line = ""
        try:
            with _no_echo() if hidden and self._has_echo else nullcontext():
                line = await self._read()
        finally:
            self._open_question = ""
            if not self._has_echo or hidden or not line:
                print("" if hidden else escape_control(line.rstrip("\r\n")), flush=True)
        if not line:
            raise EOFError
        return line.rstrip("\r\n")

    async def _read(self) -> str:
        loop = asyncio.get_running_loop()
        typed: asyncio.Future[str] = loop.create_future()

        def settle(line: str) -> None:
            if not typed.done():
                typed.set_result(line)

        def read() -> None:
            line = self._lines.readline().decode("utf-8", "replace")
            with suppress(RuntimeError):  # the loop has ended, and the line is not wanted
                loop.call_soon_threadsafe(settle, line)

        threading.Thread(target=read, name="chatlab-stdin", daemon=True).start()
        return await typed


def screen(words: list[str]) -> TerminalScreen | PipeScreen:
    """The screen that standard input and output are; a terminal completes these words."""
    is_terminal = sys.stdin.isatty() and sys.stdout.isatty()
    is_dumb = os.name != "nt" and os.environ.get("TERM", "") in ("", "dumb", "unknown")
    if is_terminal and not is_dumb:
        return TerminalScreen(words)
    return PipeScreen(has_echo=is_terminal)
