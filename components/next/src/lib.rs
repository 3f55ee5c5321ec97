//! The handler behind a middleware: the import `wasi:http/handler@0.3`. Composing the middleware
//! with another component decides which handler that is.

use guest::{ErrorCode, Request, Response};

mod bindings {
    wit_bindgen::generate!({
        path: "wit",
        world: "next",
        with: {
            "wasi:clocks/types@0.3.2": wasip3::clocks::types,
            "wasi:http/types@0.3.2": wasip3::http::types,
            "wasi:http/handler@0.3.2": generate,
        },
    });
}

/// Calls the next handler.
pub async fn next(request: Request) -> Result<Response, ErrorCode> {
    bindings::wasi::http::handler::handle(request).await
}

/// Returns a request for the next handler with the same path and tag, and without a body.
pub fn again(request: &Request) -> Request {
    let headers = guest::Fields::from_list(&[("x-tag".to_owned(), guest::tag(request))])
        .expect("the tag was a header before");
    let (_, end) = wasip3::wit_future::new(guest::WHOLE_BODY);
    let (again, _sent) = Request::new(headers, None, end, None);
    let path = request.get_path_with_query();
    let set = again
        .set_path_with_query(path.as_deref())
        .and(again.set_scheme(request.get_scheme().as_ref()))
        .and(again.set_authority(request.get_authority().as_deref()));
    set.expect("these were a request's before");
    again
}

/// Calls the next handler without waiting, and returns its response if it returned one before it
/// paused for the first time.
///
/// The subtask is abandoned and its handle is kept forever, which generated bindings would never
/// do.
pub fn start(request: Request) -> Option<Response> {
    #[link(wasm_import_module = "wasi:http/handler@0.3.2")]
    unsafe extern "C" {
        #[link_name = "[async-lower]handle"]
        fn handle(request: i32, result: *mut Answer) -> i32;
    }
    // The answer may be written here at any time, so it must stay.
    let answer: *mut Answer = Box::leak(Box::new(Answer([u32::MAX; 16])));
    let request = i32::try_from(request.take_handle()).expect("a handle is a small number");
    // The low four bits of the result are the subtask's state.
    let state = unsafe { handle(request, answer.cast()) } & 0xf;
    let words = unsafe { (*answer).0 };
    // The first byte is the case `ok`; the response's handle is at the offset of the error, which
    // is aligned to eight bytes.
    (state == RETURNED && words[0] & 0xff == 0).then(|| unsafe { Response::from_handle(words[2]) })
}

/// The canonical ABI's `Subtask.State.RETURNED`.
const RETURNED: i32 = 2;

/// Space for a `result<response, error-code>`.
#[repr(C, align(8))]
struct Answer([u32; 16]);
