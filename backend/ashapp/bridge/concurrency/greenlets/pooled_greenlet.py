# SPDX-License-Identifier: MIT
"""A greenlet that runs one function after the other. Sync code in it can wait for its driver."""

from collections.abc import Callable, Coroutine
from typing import Any

from greenlet import getcurrent
from greenlet import greenlet as Greenlet  # noqa: N812 - apart from those of calls

from ashapp.bridge.concurrency.call import Call

__all__ = ["DONE", "Driver", "PooledGreenlet", "work"]

#: The item that a greenlet hands over when its function has returned.
DONE = object()


class Driver:
    """Drives a greenlet, and does for the sync code in it what that can't do itself.

    The call of an async view is one, and so is each task of a request (see ``greenlet_task``).
    """

    __slots__ = ()

    @property
    def call(self) -> Call | None:
        """The call of the request to which the code in the greenlet belongs, if it is known."""
        raise NotImplementedError

    def run_coroutine(self, coroutine: Coroutine[Any, Any, Any], *, in_task: bool = False) -> Any:
        """Run *coroutine* to its end, in the greenlet that calls, and return its result.

        In a phase that must not be interrupted it runs in a task of its own, unless it must run *in_task*: in
        the task that drives the greenlet.
        """
        raise NotImplementedError

    def run_on_request_thread(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Run the sync *function* on the thread of the request, and return its result. In the greenlet."""
        raise NotImplementedError


class PooledGreenlet(Greenlet):
    """A greenlet that runs one function after the other."""

    __slots__ = ("_inner", "caller", "depth", "driver", "references", "sync_depth", "weak_references")

    #: Its driver, while it runs a function.
    driver: Driver
    #: The number of references to it when only its holder refers to it; see ``pool``.
    references: int
    #: The number of weak references: a tracer, as of coverage, has one from the first step on.
    weak_references: int

    def __init__(self) -> None:
        super().__init__(work)
        #: The greenlet to which it hands over.
        self.caller: Greenlet = getcurrent()
        #: How many coroutines are being stepped, each inside the one before.
        self.depth = 0
        #: The depth at which a sync function gets the results of coroutine functions; see ``flask.callers``.
        self.sync_depth = 0
        # The greenlet within this one that waits, if it is not this one itself.
        self._inner: Greenlet | None = None
        self.switch()

    # -- for the driving task

    def start(
        self, driver: Driver, function: Callable[[Any], object], argument: Any, outcome: list[Any]
    ) -> Any:
        """Begin *function*, and return the first item that it hands over, or ``DONE``.

        At the end *outcome* has its result and None, or None and its exception.
        """
        self.driver = driver
        self.caller = getcurrent()
        return self.switch(driver, function, argument, outcome)

    def resume(self, value: Any) -> Any:
        """Resume the greenlet with *value*; return the next item."""
        return self._take_waiting().switch(value)

    def fail(self, error: BaseException) -> Any:
        """Raise *error* where the greenlet waits; return the next item."""
        return self._take_waiting().throw(type(error), error, error.__traceback__)

    def _take_waiting(self) -> Greenlet:
        self.caller = getcurrent()
        inner, self._inner = self._inner, None
        return self if inner is None else inner

    # -- inside the greenlet

    def ask(self, item: Any) -> Any:
        """Hand *item*, a future or an errand, to the driving task and return its answer."""
        current = getcurrent()
        if current is not self:
            self._inner = current
        return self.caller.switch(item)

    def wait_for(self, coroutine: Any) -> Any:
        """Run *coroutine* to its end, handing over each future that it awaits, and return its result."""
        self.depth += 1
        current = getcurrent()
        inner = None if current is self else current
        del current
        try:
            item = coroutine.send(None)
            while True:
                self._inner = inner
                try:
                    value = self.caller.switch(item)
                except BaseException as error:
                    item = coroutine.throw(error)
                else:
                    item = coroutine.send(value)
        except StopIteration as stop:
            return stop.value
        finally:
            self.depth -= 1


def work() -> None:
    """The function of each greenlet: run the given functions, one after the other."""
    # No variable here refers to the greenlet while it is idle. The garbage collector can't see its stack, so
    # a greenlet that is dropped would keep itself, and its last function, for ever. *driver* is for
    # ``running_call``.
    while True:
        driver, function, argument, outcome = getcurrent().caller.switch(DONE)  # type: ignore[attr-defined]
        try:
            outcome += [function(argument), None]
        except BaseException as error:
            outcome += [None, error]
        del driver, function, argument, outcome
