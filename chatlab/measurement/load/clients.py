"""The load generator of real clients: `AsyncClient` as a user has it, a task for each request, in one event loop.

These clients are often busier than the server that they are to measure, and the result says so; but what
they experience, users experience.
"""

import asyncio
import heapq
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator
from typing import Any

from ...messages import Accounts, Balance, ConnectionLost, ListAccounts, Ping, Pong, Reply, Said, Say, Send, ViewBalance
from ...transport.async_client import AsyncClient
from ...transport.registry import unpack
from . import trial as trials
from .timer import Timer
from .trial import MeasurementWindow, ProgressTimeout, SliceTimes, TrialSpec, account_names, count_undelivered
from .virtual_user import VirtualUser
from .wire_clients import keeps_order
from .workload import NS

CHECK_FAILURE_NS = 100_000_000  # how often a wait looks whether a client has failed meanwhile
MAX_BURST = 64  # overdue requests that are begun before the clients have their time, too


class ClientsGenerator:
    """All virtual users of one trial, in one event loop: a task for each request, one for the events of each user."""

    def __init__(self, trial: TrialSpec):
        self.workload, self._trial = trial.workload, trial
        self._implementation = unpack(trial.protocol)
        names = account_names(trial)
        self._verbs = self._implementation.verbs  # an external server may lack some
        in_order, numbers = keeps_order(self._implementation), self._verbs is None
        self.users = [VirtualUser(trial.workload, number, names, in_order, numbers) for number in range(len(names))]
        self.clients: list[AsyncClient] = []
        self.running = True  #: requests are sent
        self._tasks: set[asyncio.Task[Any]] = set()
        self._failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._progress = asyncio.Event()
        self._timer = Timer()

    async def connect_all(self) -> None:
        """Connect all users and create their accounts. Raises `ConnectionLost`, `ChatError`."""
        for user in self.users:
            user.peers = self.users
            client = await self._implementation.connect_async(self._trial.address)
            client.answer_timeout_s = trials.STEP_TIMEOUT_S
            self.clients.append(client)
            await client.create_account(user.name)
            if self._has("deposit"):
                await client.deposit(user.balance)
            if user.room is not None:
                await client.join(f"{user.name[:-4]}{user.room}")

    async def close(self) -> None:
        self._cancel_tasks()
        self._timer.close()
        await asyncio.gather(*(client.close() for client in self.clients), return_exceptions=True)

    async def run(self, start_ns: int) -> MeasurementWindow:
        """Generate load, from the start to the end of the drain."""
        window = MeasurementWindow(self.workload, start_ns)
        self._start_receiving()
        follow = self._follow_schedule if self.workload.is_open else self._follow_replies
        await self._sleep_until(start_ns)
        following = self._start(follow(start_ns, window.end_ns))
        await self._measure(window)
        self.running = False
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)  # it records what it could not send
        await self._wait_for(self._is_idle, trials.DRAIN_S)
        return window

    async def run_slices(self, durations_ns: Iterable[int]) -> SliceTimes:
        """Generate the load of a closed loop in time slices, each until all is answered.

        A slice in which a request is never answered is the last one. Between slices no coroutine runs: the wait for the
        next slice blocks the event loop, on purpose.
        """
        times = SliceTimes()
        self._start_receiving()
        for duration_ns in durations_ns:
            began_ns = times.begin()
            self.running = True
            await self._follow_replies(began_ns, 0)
            await asyncio.wait([self._failed], timeout=(began_ns + duration_ns - time.perf_counter_ns()) / NS)
            self.running = False
            await self._wait_for(self._is_idle, trials.DRAIN_S)
            await asyncio.sleep(0)  # a request that was about to begin sees that it is too late
            is_idle = self._is_idle()
            if is_idle:
                await self._drain_acknowledgements()
            times.end(is_idle, duration_ns)
            if not is_idle:
                break
        return times

    async def _drain_acknowledgements(self) -> None:
        """Where an acknowledgement is a call of its own, it has its answer before the slice is over."""
        for client in self.clients:
            await client.drain()

    def count_done(self) -> int:
        """Requests that are done."""
        return sum(user.done for user in self.users)

    async def _measure(self, window: MeasurementWindow) -> None:
        if window.is_counted:
            window.mark()
            await self._wait_for(ProgressTimeout(self.users, self._all_done), sys.maxsize)
        else:
            await self._sleep_until(window.begin_ns)
            window.mark()
            await self._sleep_until(window.end_ns)
        window.mark()

    # ---- requests

    async def _follow_replies(self, start_ns: int, end_ns: int) -> None:
        """A closed loop: a request is due when one of the same user is done."""
        self._left = [self.workload.messages or sys.maxsize for _ in self.users]
        for user in self.users:
            for _ in range(self.workload.in_flight):
                self._schedule_next(user, start_ns)

    def _schedule_next(self, user: VirtualUser, now_ns: int) -> None:
        self._progress.set()
        if self.running and not self.workload.is_open and self._left[user.number]:
            self._left[user.number] -= 1
            self._start(self._think_and_request(user, now_ns + int(self.workload.think_s * NS)))

    async def _think_and_request(self, user: VirtualUser, due_ns: int) -> None:
        await self._sleep_until(due_ns)
        if self.running:
            await self._request(user, user.begin_request(due_ns))

    async def _follow_schedule(self, start_ns: int, end_ns: int) -> None:
        """An open loop: requests are due when the schedule says so, until it is cancelled; then it records the rest."""
        arrivals = [_numbered(self.workload.arrivals_of(user.number), start_ns, user.number) for user in self.users]
        overdue = 0
        for due_ns, number in heapq.merge(*arrivals):
            try:
                if self.running and due_ns > time.perf_counter_ns():
                    overdue = 0
                    await self._sleep_until(due_ns)
                elif self.running and (overdue := overdue + 1) % MAX_BURST == 0:
                    await asyncio.sleep(0)
            except asyncio.CancelledError:
                self.running = False
            if not self.running and due_ns >= end_ns:
                return
            user = self.users[number]
            if not self.running or user.window_full:
                user.skip_request(due_ns)
            else:
                self._start(self._request(user, user.begin_request(due_ns)))

    async def _request(self, user: VirtualUser, n: int) -> None:
        request = user.requests[n % len(user.requests)]
        user.sent[n] = time.perf_counter_ns()
        reply = await _VERBS[type(request)](self.clients[user.number], request)
        now = time.perf_counter_ns()
        if user.on_reply(n, reply, now):
            self._schedule_next(user, now)

    # ---- events

    def _start_receiving(self) -> None:
        for user, client in zip(self.users, self.clients):
            self._start(self._receive(user, client))

    async def _receive(self, user: VirtualUser, client: AsyncClient) -> None:
        while True:
            event = await client.receive()
            now = time.perf_counter_ns()
            delivered = user.on_event(event, now)
            if delivered is not None and delivered[1]:
                self._schedule_next(delivered[0], now)

    # ---- waiting

    async def _sleep_until(self, at_ns: int) -> None:
        while (now_ns := time.perf_counter_ns()) < at_ns:
            self._raise_failure()
            await self._timer.wait_until(min(at_ns, now_ns + CHECK_FAILURE_NS))
        self._raise_failure()

    async def _wait_for(self, condition: Callable[[], bool], timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        while not condition() and time.monotonic() < deadline:
            self._raise_failure()
            self._progress.clear()
            try:
                async with asyncio.timeout(0.05):
                    await self._progress.wait()
            except TimeoutError:
                pass
        self._raise_failure()

    def _all_done(self) -> bool:
        return all(len(user.due) == self.workload.messages for user in self.users) and self._is_idle()

    def _is_idle(self) -> bool:
        return not any(user.has_pending for user in self.users)

    def _start(self, coroutine: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._task_ended)
        return task

    def _task_ended(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None and not self._failed.done():
            self._failed.set_exception(error)
            self._progress.set()

    def _cancel_tasks(self) -> None:
        for task in self._tasks:
            task.cancel()

    def _raise_failure(self) -> None:
        if self._failed.done():
            self._failed.result()

    def _has(self, verb: str) -> bool:
        return self._verbs is None or verb in self._verbs

    # ---- the end

    async def verify_deliveries(self) -> None:
        """Raise `VerificationError` where a text was lost. One that may still be on its way counts as not heard."""
        drained: set[int] = set()
        if count_undelivered(self.users) and self._has("ping"):
            drained = await self._probe()
            before = count_undelivered(self.users)
            await asyncio.sleep(trials.QUIET_S)  # a reply may overtake events, and events may wait in the client
            if count_undelivered(self.users) != before:
                drained = set()
        for user in self.users:
            user.verify_all_delivered(drained)

    async def _probe(self) -> set[int]:
        """The users whose connection answers a ping; it comes behind what the server had for the user before."""

        async def probe(user: VirtualUser, client: AsyncClient) -> int:
            await client.ping()
            return user.number

        probes = [asyncio.ensure_future(probe(user, client)) for user, client in zip(self.users, self.clients)]
        answered, late = await asyncio.wait(probes, timeout=trials.PROBE_TIMEOUT_S)
        for task in late:
            task.cancel()
        return {task.result() for task in answered if task.exception() is None}

    async def leave(self) -> None:
        """Delete the accounts, as long as the server answers."""
        self._cancel_tasks()
        if not self._has("delete_account"):
            return
        try:
            async with asyncio.timeout(trials.DIAL_TIMEOUT_S):
                for client in self.clients:
                    await client.delete_account()
        except (TimeoutError, ConnectionLost):
            pass  # it is overloaded, or gone


def _numbered(arrivals: Iterable[int], start_ns: int, number: int) -> Iterator[tuple[int, int]]:
    return ((start_ns + at_ns, number) for at_ns in arrivals)


async def _send(client: AsyncClient, request: Send) -> Reply:
    return await client.send(request.to, request.text)


async def _say(client: AsyncClient, request: Say) -> Reply:
    return Said(await client.say(request.text))


async def _balance(client: AsyncClient, request: ViewBalance) -> Reply:
    return Balance(await client.balance())


async def _ping(client: AsyncClient, request: Ping) -> Reply:
    await client.ping()
    return Pong()


async def _search(client: AsyncClient, request: ListAccounts) -> Accounts:
    return await client.list_accounts(request.pattern, request.after, request.limit)


_VERBS: dict[type, Callable[[AsyncClient, Any], Awaitable[Reply]]] = {
    Send: _send,
    Say: _say,
    ViewBalance: _balance,
    Ping: _ping,
    ListAccounts: _search,
}
