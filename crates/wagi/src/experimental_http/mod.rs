//! `wasi_experimental_http`: the outgoing requests of WAGI modules.
//!
//! The functions block only the guest. The requests are sent by the service's [`Egress`] for the
//! incoming request: an instance has only one. Input that made WAGI 0.8.1 panic is an error code
//! here. Response bodies are read from the upstream as the guest reads them.

mod answers;
mod code;
mod hosts;
mod legacy;
mod memory;
mod request;

use std::sync::Arc;

use bytes::Bytes;
use headwater_core::RequestScope;
use headwater_egress::Egress;
use headwater_telemetry::{Limit, LimitLog, Setting};
use wasmtime::{Caller, Linker, Module, Result};

use answers::Answers;
pub(crate) use code::Code;
use code::number;
pub use hosts::{AllowedHostsError, allowed_hosts};
use memory::{Span, parts, put};
use request::Wanted;

use crate::linker::State;

pub(crate) const MODULE: &str = "wasi_experimental_http";

/// The most open responses of an instance, whatever is configured: as for a component's.
pub(crate) const MOST_OPEN: usize = 256;

/// The limit on the open responses of an instance.
const OUTGOING: Limit = Limit {
    name: "outgoing_per_instance",
    effect: "its instance has the maximum number of open responses, and another request fails with \
             too-many-sessions",
    setting: None,
};

/// The setting that raises the limit, up to [`MOST_OPEN`].
const SETTING: Setting = Setting {
    key: "http_max_concurrency",
    flag: None,
};

pub(crate) struct Outgoing {
    /// `None` if the module may not reach anything.
    egress: Option<Egress>,
    scope: Arc<RequestScope>,
    /// The maximum number of open responses.
    most: usize,
    limits: LimitLog,
    answers: Answers,
}

#[derive(Debug, Clone, Copy)]
struct Req {
    url: Span,
    method: Span,
    headers: Span,
    body: Span,
    status_at: i32,
    handle_at: i32,
}

impl Outgoing {
    pub(crate) fn new(
        egress: Option<Egress>,
        scope: Arc<RequestScope>,
        most: usize,
        limits: LimitLog,
    ) -> Self {
        Self {
            egress,
            scope,
            most,
            limits,
            answers: Answers::default(),
        }
    }

    /// Returns what an outgoing request needs, if one more response may be open.
    fn sender(&self) -> Result<(Egress, Arc<RequestScope>), Code> {
        if self.answers.len() >= self.most {
            let setting = (self.most < MOST_OPEN).then_some(SETTING);
            self.limits.met(
                &Limit {
                    setting,
                    ..OUTGOING
                },
                self.most,
            );
            return Err(Code::TooManySessions);
        }
        let egress = self.egress.clone().ok_or(Code::DestinationNotAllowed)?;
        Ok((egress, self.scope.clone()))
    }
}

/// Adds the functions, with `req` in the form that this module imports.
pub(crate) fn add_to_linker(linker: &mut Linker<State>, module: &Module) -> Result<()> {
    match legacy::is_imported_by(module) {
        true => legacy::add_to_linker(linker)?,
        false => add_req(linker)?,
    }
    linker.func_wrap_async(
        MODULE,
        "body_read",
        |mut caller: Caller<'_, State>, (handle, at, length, read_at): (i32, i32, i32, i32)| {
            Box::new(async move {
                number(body_read(&mut caller, handle, Span::new(at, length), read_at).await)
            })
        },
    )?;
    linker.func_wrap(
        MODULE,
        "header_get",
        |mut caller: Caller<'_, State>,
         handle: i32,
         name: i32,
         name_length: i32,
         value: i32,
         value_length: i32,
         written_at: i32| {
            let (name, value) = (Span::new(name, name_length), Span::new(value, value_length));
            number(header_get(&mut caller, handle, name, value, written_at))
        },
    )?;
    // Some versions of the Rust crate spell it without the `s`.
    for name in ["headers_get_all", "header_get_all"] {
        linker.func_wrap(
            MODULE,
            name,
            |mut caller: Caller<'_, State>, handle: i32, at: i32, length: i32, written_at: i32| {
                let buffer = Span::new(at, length);
                number(headers_get_all(&mut caller, handle, buffer, written_at))
            },
        )?;
    }
    linker.func_wrap(
        MODULE,
        "close",
        |mut caller: Caller<'_, State>, handle: i32| {
            caller.data_mut().outgoing.answers.close(handle);
            0
        },
    )?;
    Ok(())
}

fn add_req(linker: &mut Linker<State>) -> Result<()> {
    linker.func_wrap_async(
        MODULE,
        "req",
        |mut caller: Caller<'_, State>,
         (
            url,
            url_length,
            method,
            method_length,
            headers,
            headers_length,
            body,
            body_length,
            status_at,
            handle_at,
        ): (i32, i32, i32, i32, i32, i32, i32, i32, i32, i32)| {
            let arguments = Req {
                url: Span::new(url, url_length),
                method: Span::new(method, method_length),
                headers: Span::new(headers, headers_length),
                body: Span::new(body, body_length),
                status_at,
                handle_at,
            };
            Box::new(async move { number(req(&mut caller, arguments).await) })
        },
    )?;
    Ok(())
}

async fn req(caller: &mut Caller<'_, State>, arguments: Req) -> Result<(), Code> {
    let Req {
        url,
        method,
        headers,
        body,
        status_at,
        handle_at,
    } = arguments;
    let (memory, state) = parts(caller)?;
    let (egress, scope) = state.outgoing.sender()?;
    let wanted = Wanted::new(
        url.text(memory)?,
        method.text(memory)?,
        headers.text(memory)?,
        Bytes::copy_from_slice(body.get(memory)?),
    )?;
    let response = wanted.send(&egress, &scope).await?;
    let (memory, state) = parts(caller)?;
    put(memory, status_at, &response.status().as_u16().to_le_bytes())?;
    let handle = state.outgoing.answers.keep(response);
    put(memory, handle_at, &handle.to_le_bytes())
}

async fn body_read(
    caller: &mut Caller<'_, State>,
    handle: i32,
    buffer: Span,
    read_at: i32,
) -> Result<(), Code> {
    let (memory, state) = parts(caller)?;
    let answer = state.outgoing.answers.get(handle)?;
    let read = answer.read(buffer.room(memory)?).await?;
    put(memory, read_at, &length(read)?)
}

fn header_get(
    caller: &mut Caller<'_, State>,
    handle: i32,
    name: Span,
    value: Span,
    written_at: i32,
) -> Result<(), Code> {
    let (memory, state) = parts(caller)?;
    let answer = state.outgoing.answers.get(handle)?;
    let name = name.text(memory)?.to_ascii_lowercase();
    let found = answer.headers.get(&name).ok_or(Code::HeaderNotFound)?;
    fill(memory, value, found.as_bytes(), written_at)
}

fn headers_get_all(
    caller: &mut Caller<'_, State>,
    handle: i32,
    buffer: Span,
    written_at: i32,
) -> Result<(), Code> {
    let (memory, state) = parts(caller)?;
    let text = headers_text(&state.outgoing.answers.get(handle)?.headers)?;
    fill(memory, buffer, text.as_bytes(), written_at)
}

/// Returns a line `name:value` for each header.
fn headers_text(headers: &http::HeaderMap) -> Result<String, Code> {
    let mut text = String::new();
    for (name, value) in headers {
        let value = value.to_str().map_err(|_| Code::Runtime)?;
        text.extend([name.as_str(), ":", value, "\n"]);
    }
    Ok(text)
}

/// Writes bytes into a buffer of the guest, and their number at `written_at`.
fn fill(memory: &mut [u8], buffer: Span, bytes: &[u8], written_at: i32) -> Result<(), Code> {
    if bytes.len() > buffer.length.cast_unsigned() as usize {
        return Err(Code::BufferTooSmall);
    }
    put(memory, buffer.at, bytes)?;
    put(memory, written_at, &length(bytes.len())?)
}

fn length(bytes: usize) -> Result<[u8; 4], Code> {
    u32::try_from(bytes)
        .map(u32::to_le_bytes)
        .map_err(|_| Code::Runtime)
}
