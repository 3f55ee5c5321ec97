"""Requests that leave their work to tasks of another request, in Python.

`GET /worker?to=URL&k=1&wait=0&witness=none`: four tasks, created by whichever request came first, look
into a queue every few milliseconds and do what they find, in that request's task. (A request of
componentize-py cannot wake another: an event that one sets for the other is never heard.)

`/gather`: each request does its jobs itself, all at once. A job waits for `wait` milliseconds and makes
one call, `GET {to}/call/{i}`; each request has `k`. `witness` says how calls name their request: `none`;
`token`, entered around each step; or `echo-id`, its `x-request-id`.
"""

import asyncio
from collections import deque
from urllib.parse import parse_qsl, urlsplit

import componentize_py_async_support as runtime
import wit_world
from componentize_py_types import Err, Ok
from headwater_attribution import Scope, named
from wit_world import exports
from wit_world.imports import client, monotonic_clock
from wit_world.imports.wasi_http_types import Fields, Request, Response, Scheme_Http

WORKERS = 4
QUEUE = deque()
started = False


class Handler(exports.Handler):
    async def handle(self, request: Request) -> Response:
        url = urlsplit(request.get_path_with_query())
        query = dict(parse_qsl(url.query))
        with request.get_headers() as headers:
            tag = next(iter(headers.get("x-tag")), b"")
        witness = query.get("witness", "none")
        if witness == "token":
            scope = Scope.current().wrap
        elif witness == "echo-id":
            scope = Scope.by_id(request).wrap
        else:
            scope = lambda job: job
        wait_ms = int(query.get("wait", 0))
        jobs = [scope(job(query["to"], tag, i, wait_ms)) for i in range(int(query.get("k", 1)))]
        try:
            # Whatever route it is served under.
            if url.path.endswith("/gather"):
                await asyncio.gather(*jobs)
            else:
                await by_workers(jobs)
        except Err as error:
            return text(502, f"{error.value}\n".encode())
        return text(200, tag + f": {len(jobs)} of {len(jobs)} answered\n".encode())


async def by_workers(jobs):
    """Leaves jobs to the workers, and waits for them."""
    global started
    outcomes = []
    QUEUE.extend((job, outcomes) for job in jobs)
    if not started:
        started = True
        for _ in range(WORKERS):
            runtime.spawn(worker())
    while len(outcomes) < len(jobs):
        await wait(2)
    for outcome in outcomes:
        if outcome is not None:
            raise outcome


async def worker():
    while True:
        if QUEUE:
            job, outcomes = QUEUE.popleft()
            try:
                await job
                outcomes.append(None)
            except Err as error:
                outcomes.append(error)
        else:
            await wait(2)


async def job(to, tag, i, wait_ms):
    if wait_ms > 0:
        await wait(wait_ms)
    await call(to, tag, i)


async def wait(milliseconds):
    await monotonic_clock.wait_for(milliseconds * 1_000_000)


async def call(to, tag, i):
    """`GET {to}/call/{i}`, and its answer read to the end."""
    url = urlsplit(to)
    headers = Fields.from_list([("x-tag", tag)])
    request, _ = Request.new(named(headers), None, no_trailers(), None)
    request.set_scheme(Scheme_Http())
    request.set_authority(url.netloc)
    request.set_path_with_query(f"{url.path.rstrip('/')}/call/{i}")
    response = await client.send(request)
    body, end = Response.consume_body(response, accepted())
    with body, end:
        while not body.writer_dropped:
            await body.read(4096)


def text(status, content):
    headers = Fields.from_list(
        [("content-type", b"text/plain"), ("content-length", str(len(content)).encode())]
    )
    writer, reader = wit_world.byte_stream()
    response, _ = Response.new(headers, reader, no_trailers())
    response.set_status_code(status)
    runtime.spawn(write(writer, content))
    return response


async def write(writer, content):
    with writer:
        await writer.write_all(content)


def no_trailers():
    return wit_world.result_option_wasi_http_types_fields_wasi_http_types_error_code_future(lambda: Ok(None))[1]


def accepted():
    return wit_world.result_unit_wasi_http_types_error_code_future(lambda: Ok(None))[1]
