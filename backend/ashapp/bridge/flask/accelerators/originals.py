# SPDX-License-Identifier: MIT
"""The methods of Flask and Werkzeug whose work is done by a shortcut: whether they still are what they were.

``KNOWN`` lists them, each with the names that its code uses. A release in which one uses other names does
something else there, and the shortcut leaves the work to it. A subclass may override a method, an object may
have its own, and a tool may replace it in its class at any time. So a shortcut looks at them again
and again: for each request, or for all that begin in one turn of the loop.
"""

from collections.abc import Callable, Mapping
from importlib import import_module
from operator import itemgetter
from typing import Any

from flask.app import Flask

from ashapp.bridge.loop_or_thread.hindrances import is_original

__all__ = ["KNOWN", "AllOriginals", "AsReplaced", "Originals"]

#: By module and class: each method, with the names that its code uses.
KNOWN: dict[str, dict[str, str]] = {
    "flask.app.Flask": {
        "make_response": "BaseResponse Headers Iterator Response TypeError __name__ bytearray bytes cabc "
        "callable cast dict endpoint environ exc_info force_type headers isinstance json len list request "
        "response response_class status status_code str sys t tuple type update with_traceback",
        "__call__": "wsgi_app",
        "wsgi_app": "Exception _cv_app _cv_request exc_info full_dispatch_request get handle_exception pop "
        "push request_context should_ignore_error sys",
        "ensure_sync": "async_to_sync iscoroutinefunction",
        "async_to_sync": "ImportError RuntimeError asgiref.sync async_to_sync",
        "request_context": "RequestContext",
        "app_context": "AppContext",
        "full_dispatch_request": "Exception _got_first_request dispatch_request ensure_sync finalize_request "
        "handle_user_exception preprocess_request request_started send",
        "dispatch_request": "endpoint ensure_sync getattr make_default_options_response method "
        "raise_routing_exception request request_ctx routing_exception url_rule view_args view_functions",
        "finalize_request": "Exception ensure_sync exception logger make_response process_response "
        "request_finished send",
        "process_response": "_after_request_functions _get_current_object _session after_request_funcs "
        "blueprints chain ensure_sync is_null_session request request_ctx reversed save_session "
        "session_interface",
        "preprocess_request": "before_request_funcs blueprints endpoint ensure_sync request reversed "
        "url_value_preprocessors view_args",
        "do_teardown_request": "_sentinel blueprints chain ensure_sync exc_info request request_tearing_down "
        "reversed send sys teardown_request_funcs",
        "do_teardown_appcontext": "_sentinel appcontext_tearing_down ensure_sync exc_info reversed send sys "
        "teardown_appcontext_funcs",
    },
    "flask.ctx.RequestContext": {
        "__init__": "HTTPException _after_request_functions _cv_tokens _session app create_url_adapter "
        "flashes json json_module request request_class routing_exception url_adapter",
        "push": "_cv_app _cv_request _cv_tokens _session app app_context append get make_null_session "
        "match_request open_session push request session_interface set url_adapter",
        "match_request": "HTTPException match request routing_exception url_adapter url_rule view_args",
        "pop": "AssertionError _cv_request _cv_tokens _sentinel app do_teardown_request environ exc_info get "
        "getattr len pop request reset sys",
    },
    "flask.ctx.AppContext": {
        "__init__": "_cv_tokens app app_ctx_globals_class create_url_adapter g url_adapter",
        "push": "_cv_app _cv_tokens app appcontext_pushed append ensure_sync send set",
        "pop": "AssertionError _cv_app _cv_tokens _sentinel app appcontext_popped do_teardown_appcontext "
        "ensure_sync exc_info get len pop reset send sys",
    },
    "flask.json.provider.DefaultJSONProvider": {
        "response": "_app _prepare_response_obj compact debug dumps mimetype response_class setdefault",
        "dumps": "default dumps ensure_ascii json setdefault sort_keys",
    },
    "flask.sessions.SecureCookieSessionInterface": {
        "open_session": "BadSignature cookies get get_cookie_name get_signing_serializer int loads "
        "permanent_session_lifetime session_class total_seconds",
        "save_session": "accessed add delete_cookie dict dumps get_cookie_domain get_cookie_httponly "
        "get_cookie_name get_cookie_partitioned get_cookie_path get_cookie_samesite get_cookie_secure "
        "get_expiration_time get_signing_serializer modified set_cookie should_set_cookie vary",
        "get_signing_serializer": "URLSafeTimedSerializer append config digest_method extend key_derivation "
        "salt secret_key serializer",
        "should_set_cookie": "config modified permanent",
        "make_null_session": "null_session_class",
        "is_null_session": "isinstance null_session_class",
    },
    "flask.sessions.SecureCookieSession": {"__init__": "__init__ super"},
    "werkzeug.datastructures.structures.CallbackDict": {"__init__": "__init__ on_update super"},
    "werkzeug.datastructures.headers.Headers": {"__init__": "_list extend"},
    "werkzeug.datastructures.headers.EnvironHeaders": {"__init__": "__init__ environ super"},
    "werkzeug.wrappers.request.Request": {
        "__init__": "EnvironHeaders __init__ _get_server _wsgi_decoding_dance encode environ get shallow "
        "super",
        "close": "__dict__ close get iter_multi_items",
    },
    "werkzeug.sansio.request.Request": {
        "__init__": "headers lstrip method path query_string remote_addr root_path rstrip scheme server upper"
    },
    "werkzeug.sansio.response.Response": {"status": "_status", "status_code": "_status_code"},
    "werkzeug.wrappers.response.Response": {
        "__call__": "get_wsgi_response",
        "__init__": "__init__ _on_close bytearray bytes direct_passthrough isinstance response set_data str "
        "super",
        "set_data": "automatically_set_content_length encode headers isinstance len response str",
        "get_wsgi_response": "get_app_iter get_wsgi_headers status to_wsgi_list",
        "get_wsgi_headers": "Headers autocorrect_location_header automatically_set_content_length "
        "get_current_url headers iri_to_uri is_sequence iter_encoded lower remove remove_entity_headers "
        "status_code str sum urljoin",
        "get_app_iter": "ClosingIterator close direct_passthrough iter_encoded response status_code",
        "iter_encoded": "_iter_encoded response",
        "close": "_on_close close hasattr response",
    },
}


class Originals:
    """The methods *names* of the class at *path*, if they are as ``KNOWN`` tells."""

    def __init__(self, path: str, *names: str) -> None:
        module, _, name = path.rpartition(".")
        owner = vars(import_module(module)).get(name)
        is_known = owner is not None and all(_is_known(owner, module, path, name) for name in names)
        #: What the class has, or nothing where that is not what is known.
        self.methods = tuple(getattr(owner, name) for name in names) if is_known else ()
        self._names = names

    def are_those_of(self, kind: type) -> bool:
        """Say whether the class *kind* has all of them, and nothing in their place."""
        found = tuple(getattr(kind, name) for name in self._names)
        return bool(self.methods) and found == self.methods


class AllOriginals:
    """The methods of several classes, which *look* returns, in the order of *groups*, and then *others*.

    Python finds a method in no time where it is written as ``Class.method``, and not by its name in a string.
    """

    def __init__(
        self, look: Callable[[], tuple[Any, ...]], *groups: Originals, others: tuple[Any, ...] = ()
    ) -> None:
        #: What returns the methods that the classes have, and what these were at first.
        self.look = look
        self.expected = *(method for group in groups for method in group.methods), *others
        #: Whether that is what is known.
        self.are_known = all(group.methods for group in groups) and look() == self.expected

    def still_hold(self) -> bool:
        """Say whether each class has all of its methods, and nothing in their place."""
        return self.are_known and self.look() == self.expected


class AsReplaced:
    """The methods *names* of *app*: Flask's own, or *replacements* that the bridge has made of these."""

    def __init__(self, app: Flask, replacements: Mapping[str, Callable[..., Any]], *names: str) -> None:
        self._of_the_object = vars(app)
        replaced = [name for name in names if name in replacements]
        self._look = itemgetter(*replaced)
        self._expected = self._look(replacements)
        self._others = set(names).difference(replaced)
        #: Whether the application had none of its own, before.
        self.are_known = Originals("flask.app.Flask", *names).are_those_of(type(app)) and not any(
            name in vars(app) for name in names
        )

    def still_hold(self) -> bool:
        """Say whether nobody has put anything in their place, on the object."""
        own = self._of_the_object
        try:
            return self._look(own) == self._expected and own.keys().isdisjoint(self._others)
        except KeyError:
            return False


def _is_known(owner: type, module: str, path: str, name: str) -> bool:
    if not is_original(owner, name, module):
        return False
    method = getattr(owner, name)
    function: Any = method.fget if isinstance(method, property) else method
    return sorted(function.__code__.co_names) == KNOWN[path][name].split()
