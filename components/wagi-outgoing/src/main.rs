//! A WAGI module that makes outgoing requests by `wasi_experimental_http`, like its Rust crate
//! (0.10): with handles that are closed when they are dropped, and bodies read in pieces.
//!
//! `?to=URL&k=1` makes `k` requests `GET {to}/call/{i}` with the header `x-tag` of the module's own
//! request, one after another, and answers `TAG: k of k answered\n`, or 502 with `error N`, the
//! number of the interface. With `all`, the answer is the first's status, headers and body instead.

use std::env;

type Error = u32;

#[link(wasm_import_module = "wasi_experimental_http")]
unsafe extern "C" {
    fn req(
        url: *const u8,
        url_length: usize,
        method: *const u8,
        method_length: usize,
        headers: *const u8,
        headers_length: usize,
        body: *const u8,
        body_length: usize,
        status: *mut u16,
        handle: *mut u32,
    ) -> Error;
    fn close(handle: u32) -> Error;
    fn body_read(handle: u32, buffer: *mut u8, length: usize, read: *mut usize) -> Error;
    fn header_get(
        handle: u32,
        name: *const u8,
        name_length: usize,
        value: *mut u8,
        value_length: usize,
        written: *mut usize,
    ) -> Error;
    fn headers_get_all(handle: u32, buffer: *mut u8, length: usize, written: *mut usize) -> Error;
}

struct Response {
    status: u16,
    handle: u32,
}

impl Drop for Response {
    fn drop(&mut self) {
        assert_eq!(unsafe { close(self.handle) }, 0);
    }
}

fn check(error: Error) -> Result<(), Error> {
    if error == 0 { Ok(()) } else { Err(error) }
}

fn send(method: &str, url: &str, headers: &str, body: &[u8]) -> Result<Response, Error> {
    let mut response = Response {
        status: 0,
        handle: 0,
    };
    let error = unsafe {
        req(
            url.as_ptr(),
            url.len(),
            method.as_ptr(),
            method.len(),
            headers.as_ptr(),
            headers.len(),
            body.as_ptr(),
            body.len(),
            &mut response.status,
            &mut response.handle,
        )
    };
    check(error).map(|()| response)
}

impl Response {
    fn header(&self, name: &str) -> Result<String, Error> {
        let (mut value, mut written) = (vec![0; 4096], 0);
        check(unsafe {
            header_get(
                self.handle,
                name.as_ptr(),
                name.len(),
                value.as_mut_ptr(),
                value.len(),
                &mut written,
            )
        })?;
        value.truncate(written);
        Ok(String::from_utf8(value).unwrap())
    }

    fn headers(&self) -> Result<String, Error> {
        let (mut text, mut written) = (vec![0; 65536], 0);
        check(unsafe {
            headers_get_all(self.handle, text.as_mut_ptr(), text.len(), &mut written)
        })?;
        text.truncate(written);
        Ok(String::from_utf8(text).unwrap())
    }

    fn body(&self) -> Result<Vec<u8>, Error> {
        let mut body = Vec::new();
        loop {
            let (mut piece, mut read) = ([0; 4096], 0);
            check(unsafe { body_read(self.handle, piece.as_mut_ptr(), piece.len(), &mut read) })?;
            if read == 0 {
                return Ok(body);
            }
            body.extend_from_slice(&piece[..read]);
        }
    }
}

fn parameter(name: &str) -> Option<String> {
    let query = env::var("QUERY_STRING").unwrap_or_default();
    query.split('&').find_map(|part| {
        let (key, value) = part.split_once('=').unwrap_or((part, ""));
        (key == name).then(|| value.replace("%3A", ":").replace("%2F", "/"))
    })
}

fn main() {
    match answer() {
        Ok(text) => print!("Content-Type: text/plain\n\n{text}"),
        Err(error) => print!("Status: 502\nContent-Type: text/plain\n\nerror {error}\n"),
    }
}

fn answer() -> Result<String, Error> {
    let to = parameter("to").unwrap_or_default();
    let calls: usize = parameter("k").and_then(|k| k.parse().ok()).unwrap_or(1);
    let tag = env::var("HTTP_X_TAG").unwrap_or_default();
    let headers = format!("x-tag:{tag}\n");
    if parameter("all").is_some() {
        let response = send("POST", &format!("{to}/call/0"), &headers, b"from a module")?;
        let (status, of_type) = (response.status, response.header("Content-Type"));
        return Ok(format!(
            "status {status}\ntype {of_type:?}\n{}{}",
            response.headers()?,
            String::from_utf8_lossy(&response.body()?)
        ));
    }
    for i in 0..calls {
        let response = send("GET", &format!("{to}/call/{i}"), &headers, b"")?;
        response.body()?;
    }
    Ok(format!("{tag}: {calls} of {calls} answered\n"))
}
