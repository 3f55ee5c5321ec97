"""Says which incoming request a guest works for, where the host cannot see it: for components made by
componentize-py. Put this file on the path that it looks for modules on (`-p`).

Python steps a coroutine in the task that awaits it. If a worker awaits what the handler of another
request has made, take a scope in the handler and wrap the coroutine:

    queue.append(Scope.current().wrap(job()))

or, where the component does not import `headwater:attribution/scope`,

    queue.append(Scope.by_id(request).wrap(job()))

and in `job` make the outgoing request with `Request.new(named(headers), …)`. Tasks that the handler
creates itself (`asyncio.create_task`, `gather`, `TaskGroup`) need none of this.
"""

from collections.abc import Awaitable, Generator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import Any, Callable, Optional

from wit_world.imports.wasi_http_types import Fields, Request

try:
    from wit_world.imports import scope as _host
except ImportError:
    # The component's world is without it; `by_id` needs nothing of the host.
    _host = None

_REQUEST_ID = "x-request-id"

# The id of the request that is being worked for.
_in_scope: ContextVar[Optional[bytes]] = ContextVar("headwater_request_id", default=None)


class Scope:
    """Names one incoming request, while it lives."""

    def __init__(self, enter: Callable[[], AbstractContextManager[Any]]):
        self._enter = enter

    @classmethod
    def current(cls) -> "Scope":
        """The request that is being worked for, by a token of the host. For the beginning of a handler."""
        token = _host.current()
        if token is None:
            raise LookupError("the host does not know the request exactly")
        return cls(token.enter)

    @classmethod
    def by_id(cls, request: Request) -> "Scope":
        """This request, by its `x-request-id`."""
        with request.get_headers() as headers:
            request_id = headers.get(_REQUEST_ID)[0]
        return cls(lambda: _working_for(request_id))

    def wrap(self, work: Awaitable[Any]) -> Awaitable[Any]:
        """The same work, each step of which is done for this request, wherever it is awaited."""
        return _InScope(self._enter, work)


class _InScope(Awaitable[Any]):
    def __init__(self, enter: Callable[[], AbstractContextManager[Any]], work: Awaitable[Any]):
        self._enter = enter
        self._work = work

    def __await__(self) -> Generator[Any, Any, Any]:
        steps = self._work.__await__()
        error: Optional[BaseException] = None
        while True:
            # Not across the `yield`: there the worker may go on with another's work.
            with self._enter():
                try:
                    step = steps.send(None) if error is None else steps.throw(error)
                except StopIteration as end:
                    return end.value
            try:
                yield step
                error = None
            except BaseException as raised:
                error = raised


@contextmanager
def _working_for(request_id: bytes):
    before = _in_scope.set(request_id)
    try:
        yield
    finally:
        _in_scope.reset(before)


def named(headers: Fields) -> Fields:
    """The fields of an outgoing request, with the id of the request in whose scope this is called; as they
    are outside any, and where they have an `x-request-id` already."""
    request_id = _in_scope.get()
    if request_id is not None and not headers.has(_REQUEST_ID):
        headers.set(_REQUEST_ID, [request_id])
    return headers
