# SPDX-License-Identifier: MIT
"""Makes Flask's sessions in signed cookies cheap for requests that neither bring nor save one.

Flask makes a serializer from the secret key for each request, before it looks for the cookie, and another one
to save a session. Each takes a third of the time of a small view. Here a serializer is kept while its key and
options stay the same, and without a cookie none is needed. An interface of the application's own, or one that
it has changed, is left to Flask.
"""

from typing import Any
from weakref import WeakKeyDictionary

import flask
from flask import sessions
from flask.app import Flask
from flask.sessions import NullSession, SecureCookieSession, SecureCookieSessionInterface, SessionMixin
from flask.wrappers import Request
from werkzeug.datastructures import CallbackDict

from ashapp.bridge.flask.accelerators.originals import AllOriginals, Originals
from ashapp.bridge.messages.attributes import attribute_of

__all__ = ["SESSION_CLASSES", "Sessions"]

#: The methods that are not called, or that are replaced.
SESSION_CLASSES = AllOriginals(
    Originals(
        SecureCookieSessionInterface,
        "open_session save_session should_set_cookie get_signing_serializer make_null_session "
        "is_null_session",
        0x36F1419C,
    ),
    Originals(SecureCookieSession, "__init__", 0xDA8D0DFB),
    Originals(CallbackDict, "__init__", 0x3E790829),
)
_REPLACED = "get_signing_serializer"


class _Serializers:
    """The serializers of *interface*, for all applications that have it: Flask has one for all."""

    def __init__(self, interface: SecureCookieSessionInterface) -> None:
        self._interface = interface
        # By application: the key and options of its serializer, and the serializer.
        self._kept: WeakKeyDictionary[Flask, tuple[tuple[Any, ...], Any]] = WeakKeyDictionary()

    def get_signing_serializer(self, app: Flask) -> Any:
        """Return the serializer; see ``flask.sessions.SecureCookieSessionInterface``."""
        interface = self._interface
        key, fallbacks = app.secret_key, app.config.get("SECRET_KEY_FALLBACKS")
        make = SecureCookieSessionInterface.get_signing_serializer
        is_own = len(vars(interface)) == 1 and SESSION_CLASSES.still_hold()
        if not (is_own and key and isinstance(key, str | bytes)):
            return make(interface, app)
        made_of = (
            *(key, list(fallbacks or ()), interface.salt, interface.serializer),
            *(interface.key_derivation, interface.digest_method, vars(sessions)["URLSafeTimedSerializer"]),
        )
        kept = self._kept.get(app)
        if kept is None or kept[0] != made_of:
            kept = self._kept[app] = made_of, make(interface, app)
        return kept[1]


class Sessions:
    """Opens the sessions of *app*, and tells which need not be saved, while ``SESSION_CLASSES`` holds."""

    def __init__(self, app: Flask) -> None:
        self._app = app
        interface: Any = app.session_interface
        # The attributes of the interface object, as long as no other code has changed it.
        self._replaced: dict[str, Any] = {}
        if type(interface) is SecureCookieSessionInterface:
            if not vars(interface):
                vars(interface)[_REPLACED] = _Serializers(interface).get_signing_serializer
            replacement = vars(interface).get(_REPLACED)
            if type(attribute_of(replacement, "__self__")) is _Serializers:
                self._replaced[_REPLACED] = replacement
        self._interface: Any = interface if self._replaced else None

    def open(self, request: flask.Request) -> SessionMixin | None:
        """Return the session of *request*; see ``flask.ctx.RequestContext.push``."""
        interface: Any = self._app.session_interface
        if self._is_own(interface):
            key = self._app.secret_key
            if not key:
                return _new(NullSession)
            is_without = type(request) is Request and "HTTP_COOKIE" not in request.environ
            if is_without and isinstance(key, str | bytes):
                return _new(SecureCookieSession)
        session: SessionMixin | None = interface.open_session(self._app, request)
        return interface.make_null_session(self._app) if session is None else session

    def is_idle(self, session: SessionMixin | None) -> bool:
        """Say whether Flask would not save *session*: it is neither used, nor changed, nor permanent."""
        if not self._is_own(self._app.session_interface):
            return False
        if type(session) is NullSession:
            return True
        return type(session) is SecureCookieSession and not (
            session.accessed or session.modified or (session and session.permanent)
        )

    def _is_own(self, interface: Any) -> bool:
        """Say whether *interface* is the application's first one, and unchanged."""
        return (
            interface is self._interface
            and vars(interface) == self._replaced
            and interface.session_class is SecureCookieSession
            and interface.null_session_class is NullSession
        )


def _new(kind: type[SecureCookieSession]) -> SecureCookieSession:
    session = kind.__new__(kind)
    session.on_update = _note_change
    return session


def _note_change(session: SecureCookieSession) -> None:
    session.modified = True
