# SPDX-License-Identifier: MIT
"""Two instances behind nginx, restarted in turn under load, as a cluster does it."""

from contextlib import ExitStack
from pathlib import Path

from tests.support.network.load import GET, POST, Load
from tests.support.network.nginx import needs_nginx, nginx
from tests.support.process import ServerProcess, free_port, serving

ROUNDS = 3


class Instance:
    """A server on a port of its own, and on none else when it is started again."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self._folder = folder
        self._stack = stack
        self.address = ("127.0.0.1", free_port())
        self._server = self._start()

    def restart(self) -> None:
        assert self._server.stop() == 0
        self._server = self._start()

    def _start(self) -> ServerProcess:
        host, port = self.address
        where = ["--host", host, "--port", str(port)]
        server = serving(["clock:app", "--drain-delay", "0.5", *where], cwd=self._folder)
        return self._stack.enter_context(server)


@needs_nginx
def test_a_rolling_restart_loses_no_request(folder: Path) -> None:
    with ExitStack() as stack:
        instances = [Instance(folder, stack) for _ in range(2)]
        proxy = stack.enter_context(nginx(folder, [instance.address for instance in instances]))
        # nginx repeats no POST that it has sent.
        with Load(proxy, 4, POST, pause=0.01) as posts, Load(proxy, 4, GET, pause=0.2) as gets:
            for _ in range(ROUNDS):
                for instance in instances:
                    instance.restart()
                    posts.goes_on()
    assert posts.failures == []
    assert gets.failures == []
    assert len({body.split()[0] for body in posts.bodies}) == 2 + 2 * ROUNDS
