"""The realistic load generator: clients as a user has them (`AsyncClient`), a task for each request, in one event loop.

They are often busier than the server that they are to measure, and the result says so; but what they feel, users feel.
"""

import asyncio
import heapq
import sys
import time
from collections.abc import Callable, Iterable

from ...messages import Accounts, Balance, ConnectionLost, ListAccounts, Ping, Pong, Reply, Said, Say, Send, ViewBalance
from ...transport.registry import unpack
from . import trial as trials
from .trial import MeasurementWindow, ProgressTimeout, SliceTimes, TrialSpec, account_names
from .virtual_user import VirtualUser
from .wire_clients import keeps_order
from .workload import NS


class ClientsGenerator:
    """Clients as a user has them, in one event loop: a task for each request, one for each listener."""

    def __init__(self, trial: TrialSpec):
        self.workload, self._trial = trial.workload, trial
        self._carried = unpack(trial.protocol)
        names = account_names(trial)
        self._verbs = self._carried.verbs  # of a server that is not ours, and may lack some
        kept = keeps_order(self._carried), self._verbs is None
        self.users = [VirtualUser(trial.workload, number, names, *kept) for number in range(len(names))]
        self.clients: list = []
        self.going = True
        self._tasks: set[asyncio.Task] = set()
        self._failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._moved = asyncio.Event()

    async def connect_all(self) -> None:
        for user in self.users:
            user.peers = self.users
            client = await self._carried.connect_async(self._trial.address)
            client.answer_timeout_s = trials.STEP_TIMEOUT_S
            self.clients.append(client)
            await client.create_account(user.name)
            if self._has("deposit"):
                await client.deposit(user.balance)
            if user.room is not None:
                await client.join(f"{user.name[:-4]}{user.room}")

    async def close(self) -> None:
        await asyncio.gather(*(client.close() for client in self.clients), return_exceptions=True)

    async def run(self, start_ns: int) -> MeasurementWindow:
        clock = MeasurementWindow(self.workload, start_ns)
        self._listen_all()
        pace = self._follow_schedule if self.workload.is_open else self._follow_answers
        await self._sleep_until(start_ns)
        pacing = self._start(pace(start_ns, clock.end_ns))
        await self._measure(clock)
        self.going = False
        pacing.cancel()
        await asyncio.gather(pacing, return_exceptions=True)  # it writes down what it could not ask
        await self._until(self._is_quiet, trials.DRAIN_S)
        self._stop_listening()
        return clock

    async def run_slices(self, lasting_ns: Iterable[int]) -> SliceTimes:
        """A closed loop in turns, so long each, and until all is answered. Where that never happens, it was the last turn.

        In between no coroutine runs: the wait for the next turn holds up the event loop, on purpose.
        """
        times = SliceTimes()
        self._listen_all()
        for lasts_ns in lasting_ns:
            began_ns = times.begin()
            self.going = True
            await self._follow_answers(began_ns, 0)
            await asyncio.wait([self._failed], timeout=(began_ns + lasts_ns - time.perf_counter_ns()) / NS)
            self.going = False
            await self._until(self._is_quiet, trials.DRAIN_S)
            await asyncio.sleep(0)  # who was about to ask sees that it is too late
            is_quiet = self._is_quiet()
            if is_quiet:
                await self._settle()
            times.end(is_quiet, lasts_ns)
            if not is_quiet:
                break
        self._stop_listening()
        return times

    async def _settle(self) -> None:
        """Where an acknowledgement is a call of its own it has its answer before the turn is over."""
        for client in self.clients:
            await client.drain()

    def _listen_all(self) -> None:
        for user, client in zip(self.users, self.clients):
            self._start(self._listen(user, client))

    def _stop_listening(self) -> None:
        for task in list(self._tasks):
            task.cancel()

    def count_done(self) -> int:
        """Requests that are done."""
        return sum(user.done for user in self.users)

    async def _measure(self, clock: MeasurementWindow) -> None:
        if clock.is_counted:
            clock.mark()
            await self._until(ProgressTimeout(self.users, self._has_said_all), sys.maxsize)
        else:
            await self._sleep_until(clock.begin_ns)
            clock.mark()
            await self._sleep_until(clock.end_ns)
        clock.mark()

    # ---- asking

    async def _follow_answers(self, start_ns: int, end_ns: int) -> None:
        self._left = [self.workload.messages or sys.maxsize for _ in self.users]
        for user in self.users:
            for _ in range(self.workload.in_flight):
                self._free(user, start_ns)

    def _free(self, user: VirtualUser, now_ns: int) -> None:
        self._moved.set()
        if self.going and not self.workload.is_open and self._left[user.number]:
            self._left[user.number] -= 1
            self._start(self._think_and_ask(user, now_ns + int(self.workload.think_s * NS)))

    async def _think_and_ask(self, user: VirtualUser, due_ns: int) -> None:
        await self._sleep_until(due_ns)
        if self.going:
            await self._ask(user, due_ns)

    async def _follow_schedule(self, start_ns: int, end_ns: int) -> None:
        arrivals = [_numbered(self.workload.arrivals_of(s.number), start_ns, s.number) for s in self.users]
        for due_ns, number in heapq.merge(*arrivals):
            try:
                if self.going:
                    await self._sleep_until(due_ns)
            except asyncio.CancelledError:
                self.going = False
            if not self.going and due_ns >= end_ns:
                return
            user = self.users[number]
            if not self.going or user.full:
                user.skip(due_ns)
            else:
                self._start(self._ask(user, due_ns))

    async def _ask(self, user: VirtualUser, due_ns: int) -> None:
        request = user.requests[user.next_entry]
        n = user.ask(due_ns)
        user.sent[n] = time.perf_counter_ns()
        reply = await _VERBS[type(request)](self.clients[user.number], request)
        now = time.perf_counter_ns()
        if user.answer(n, reply, now):
            self._free(user, now)

    async def _listen(self, user: VirtualUser, client) -> None:
        while True:
            event = await client.receive()
            now = time.perf_counter_ns()
            said_by = user.hear(event, now)
            if said_by is not None and said_by[1]:
                self._free(said_by[0], now)

    # ---- waiting

    async def _sleep_until(self, at_ns: int) -> None:
        while (left := at_ns - time.perf_counter_ns()) > 0:
            self._check()
            await asyncio.sleep(min(0.1, left / NS - 0.001) if left > 2_000_000 else 0)  # loops wake up to 1 ms off
        self._check()

    async def _until(self, condition: Callable[[], bool], timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        while not condition() and time.monotonic() < deadline:
            self._check()
            self._moved.clear()
            try:
                async with asyncio.timeout(0.05):
                    await self._moved.wait()
            except TimeoutError:
                pass
        self._check()

    def _has_said_all(self) -> bool:
        return all(len(user.due) == self.workload.messages for user in self.users) and self._is_quiet()

    def _is_quiet(self) -> bool:
        return not any(user.waits for user in self.users)

    def _start(self, coroutine) -> asyncio.Task:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None and not self._failed.done():
            self._failed.set_exception(task.exception())
            self._moved.set()

    def _check(self) -> None:
        if self._failed.done():
            self._failed.result()

    def _has(self, verb: str) -> bool:
        return self._verbs is None or verb in self._verbs

    async def leave(self) -> None:
        if not self._has("delete_account"):
            return
        try:
            async with asyncio.timeout(trials.DIAL_TIMEOUT_S):
                for client in self.clients:
                    await client.delete_account()
        except (TimeoutError, ConnectionLost):
            pass  # it has too much to do, or is gone


def _numbered(arrivals, start_ns: int, number: int):
    return ((start_ns + at_ns, number) for at_ns in arrivals)


async def _send(client, request: Send) -> Reply:
    return await client.send(request.to, request.text)


async def _say(client, request: Say) -> Reply:
    return Said(await client.say(request.text))


async def _balance(client, request: ViewBalance) -> Reply:
    return Balance(await client.balance())


async def _ping(client, request: Ping) -> Reply:
    await client.ping()
    return Pong()


async def _search(client, request: ListAccounts) -> Accounts:
    return await client.list_accounts(request.pattern, request.after, request.limit)


_VERBS = {Send: _send, Say: _say, ViewBalance: _balance, Ping: _ping, ListAccounts: _search}
