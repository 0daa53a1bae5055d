# SPDX-License-Identifier: MIT
"""Greenlets on the loop's thread, in which sync code can wait for a coroutine.

Theory of operation. Flask's dispatch is sync code that meets coroutines in its middle. It runs in a
*greenlet*. When the code must wait, the greenlet switches to the task that drives it (``GreenletDriver``) and
hands over a future. The task yields the future to the loop, and switches back with the result. So no thread
waits.

A greenlet may also hand over a coroutine, an *errand* (``ask``): the task awaits it outside of the greenlet.
All other coroutines are stepped inside the greenlet (``wait_for``), so sync code that they call may wait in
turn.

A task drives a coroutine, step by step. A suspended greenlet holds 8 KiB, on CPython 3.15 up to 15. A
suspended coroutine holds a few hundred bytes. So when the coroutine itself waits, and not sync code that it
has called, its greenlet is given back, and the next step runs in another one. A greenlet to which other
objects refer is kept for the coroutine, and is not used again after that: a greenlet that sync code has begun
within it returns to it as its parent, and it must not serve another request by then. The same holds if there
is a weak reference to it, or something is stored on it, as by locals of gevent.

Sync code may run greenlets of its own within a greenlet, as SQLAlchemy's ``run_sync`` does. When such an
inner greenlet waits, it hands over in place of the outer one, and the result goes back to it.

A greenlet has a ``Context`` of its own, which is current while it runs and is not marked as entered: a
thread, or another task, may run in it while the greenlet is suspended.

Greenlets are kept for reuse: to make and end one takes 14 µs, to take one from the pool less than 1 µs.
greenback would not do. It makes a new greenlet for each call (1.3.0: 13.7 µs in place of 2.7 µs, and as much
memory; measured once, with CPython 3.11.7 and greenlet 3.5.6). And no other task, such as one for teardown,
can enter the context of its call while that waits.

Since CPython 3.12, greenlet makes a frame object, some 230 bytes, for each Python function on the stack of a
suspended greenlet, and walks all of them at each switch. So a greenlet should wait below few functions.
"""
