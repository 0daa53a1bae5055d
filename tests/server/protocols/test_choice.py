# SPDX-License-Identifier: MIT
import pickle
import sys

import pytest

from ashapp.server.protocols import ConnectionLimits, limited_protocol
from ashapp.server.protocols.h11_protocol import LimitedH11Protocol
from ashapp.server.protocols.httptools_protocol import LimitedHttpToolsProtocol

LIMITS = ConnectionLimits(head=1000)


@pytest.mark.parametrize(
    ("http", "protocol"),
    [
        (None, LimitedHttpToolsProtocol),
        ("auto", LimitedHttpToolsProtocol),
        ("httptools", LimitedHttpToolsProtocol),
        ("h11", LimitedH11Protocol),
    ],
)
def test_uvicorns_names_stand_for_limited_protocols(http: str | None, protocol: type) -> None:
    chosen = pickle.loads(pickle.dumps(limited_protocol(http, LIMITS)))
    assert (chosen.func, chosen.keywords) == (protocol, {"limits": LIMITS})


@pytest.mark.parametrize("http", ["zttp", "shop.protocol:Protocol"])
def test_other_protocols_are_left_as_they_are(http: str) -> None:
    assert limited_protocol(http, LIMITS) is None


def test_h11_is_taken_where_httptools_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ashapp.server.protocols.httptools_protocol", None)
    assert limited_protocol("auto", LIMITS).func is LimitedH11Protocol
    with pytest.raises(ImportError):
        limited_protocol("httptools", LIMITS)
