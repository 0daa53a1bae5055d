# SPDX-License-Identifier: MIT
"""Greenlets on the loop's thread, in which sync code can wait for a coroutine.

Theory of operation. Flask's dispatch is sync code that meets coroutines in its middle. It runs in a
*greenlet*. Where it has to wait, the greenlet switches to the task that drives it (``GreenletDriver``) and
hands over what it waits for. The task yields that to the loop, and switches back with the result. So no
thread waits.

What a greenlet hands over is one of two things. A future, as a coroutine yields it, is yielded on to the
loop. A coroutine is an *errand* (``ask``): the task awaits it outside of the greenlet. Other coroutines are
stepped inside the greenlet (``wait_for``), so sync code that they call may wait in turn.

What a task drives is itself a coroutine, step by step. A suspended greenlet holds 8 KiB, on
CPython 3.15 up to 15. A suspended coroutine holds a few hundred bytes. So where the coroutine itself waits,
and not sync code that it has called, its greenlet is given back, and the next step has another one. Only a
greenlet that something refers to is kept for the coroutine: one that sync code has begun within it returns to
its parent, and that must not serve another request by then. Nor is it used again. So it is with one that
somebody knows by a weak reference, or has kept something on, as locals of gevent do.

Sync code may run greenlets of its own within a greenlet, as SQLAlchemy's ``run_sync`` does. One that waits
hands over for the greenlet, and is the one that the greenlet goes on with.

A greenlet has a ``Context`` of its own, which is current while it runs and is not marked as entered: a
thread, or another task, may run in it while the greenlet is suspended.

Greenlets are kept for reuse: making one and ending it costs 14 µs, taking one from the pool less than 1 µs.
greenback makes a new greenlet for each call (1.3.0: 13.7 µs in place of 2.7 µs, and as much memory; measured
once, with CPython 3.11.7 and greenlet 3.5.6). Nobody else can enter the context of its call while that waits,
such as a task in which a request tears down.

From CPython 3.12 on, greenlet makes a frame object, some 230 bytes, for each Python function that a suspended
greenlet is in, and walks all of them at each switch: a greenlet had better wait in few functions.
"""
