"""One answer to every request, as `hello`, in 22 MB: it shows what a large component's start costs."""

import componentize_py_async_support as runtime
import wit_world
from componentize_py_types import Ok
from wit_world import exports
from wit_world.imports.wasi_http_types import Fields, Request, Response


class Handler(exports.Handler):
    async def handle(self, request: Request) -> Response:
        return text(b"Hello from Headwater!\n")


def text(content):
    headers = Fields.from_list(
        [("content-type", b"text/plain"), ("content-length", str(len(content)).encode())]
    )
    writer, reader = wit_world.byte_stream()
    response, _ = Response.new(headers, reader, no_trailers())
    runtime.spawn(write(writer, content))
    return response


async def write(writer, content):
    with writer:
        await writer.write_all(content)


def no_trailers():
    return wit_world.result_option_wasi_http_types_fields_wasi_http_types_error_code_future(lambda: Ok(None))[1]
