//! The only function of `wasi_experimental_http` 0.1 and 0.2 (until March 2021), which returns the
//! whole response in memory that the guest allocates. WAGI 0.2 and later could not load such
//! modules.

use bytes::Bytes;
use wasmtime::{
    AsContextMut, Caller, Extern, ExternType, FuncType, Linker, Module, Result, Val, ValType,
};

use super::memory::{Span, parts, put};
use super::request::Wanted;
use super::{Code, MODULE, headers_text, length};
use crate::linker::State;
use crate::stdin::in_full;

/// Its number of parameters; later versions have ten.
const PARAMETERS: usize = 15;

/// The largest response body, in bytes: the guest has to hold all of it.
const LARGEST_BODY: usize = 64 << 20;

/// Addresses where the guest wants the address and the length of something that it allocates.
#[derive(Debug, Clone, Copy)]
struct Pointers {
    address_at: i32,
    length_at: i32,
}

#[derive(Debug, Clone, Copy)]
struct Req {
    url: Span,
    method: Span,
    body: Span,
    headers: Span,
    body_to: Pointers,
    headers_to: Pointers,
    status_at: i32,
    error_to: Pointers,
}

struct Answer {
    status: u16,
    headers: Bytes,
    body: Bytes,
}

pub(super) fn is_imported_by(module: &Module) -> bool {
    module.imports().any(|import| {
        (import.module(), import.name()) == (MODULE, "req")
            && matches!(import.ty(), ExternType::Func(of) if of.params().len() == PARAMETERS)
    })
}

pub(super) fn add_to_linker(linker: &mut Linker<State>) -> Result<()> {
    let numbers = vec![ValType::I32; PARAMETERS];
    let signature = FuncType::new(linker.engine(), numbers, [ValType::I32]);
    linker.func_new_async(
        MODULE,
        "req",
        signature,
        |mut caller, parameters, results| {
            let arguments = Req::new(parameters);
            Box::new(async move {
                results[0] = Val::I32(req(&mut caller, arguments).await?);
                Ok(())
            })
        },
    )?;
    Ok(())
}

// === impl Req ===

impl Req {
    fn new(parameters: &[Val]) -> Self {
        let number = |at: usize| parameters[at].unwrap_i32();
        let span = |at| Span::new(number(at), number(at + 1));
        let pointers = |at| Pointers {
            address_at: number(at),
            length_at: number(at + 1),
        };
        Self {
            url: span(0),
            method: span(2),
            body: span(4),
            headers: span(6),
            body_to: pointers(8),
            headers_to: pointers(10),
            status_at: number(12),
            error_to: pointers(13),
        }
    }
}

/// Returns 0, or the error code after its text was written to where the guest wants it.
async fn req(caller: &mut Caller<'_, State>, arguments: Req) -> Result<i32> {
    let answered = match send(caller, arguments).await {
        Ok(answer) => give(caller, arguments, answer).await?,
        Err(code) => Err(code),
    };
    let Err(code) = answered else {
        return Ok(0);
    };
    // If even this fails, the guest cannot be told.
    let _ = allocate(caller, arguments.error_to, code.as_str().into()).await?;
    Ok(code as i32)
}

async fn send(caller: &mut Caller<'_, State>, arguments: Req) -> Result<Answer, Code> {
    let (memory, state) = parts(caller)?;
    let (egress, scope) = state.outgoing.sender()?;
    let wanted = Wanted::new(
        arguments.url.text(memory)?,
        arguments.method.text(memory)?,
        arguments.headers.text(memory)?,
        Bytes::copy_from_slice(arguments.body.get(memory)?),
    )?;
    let (head, body) = wanted.send(&egress, &scope).await?.into_parts();
    Ok(Answer {
        status: head.status.as_u16(),
        headers: headers_text(&head.headers)?.into(),
        body: in_full(body, LARGEST_BODY)
            .await
            .map_err(|_| Code::Request)?,
    })
}

async fn give(
    caller: &mut Caller<'_, State>,
    arguments: Req,
    answer: Answer,
) -> Result<Result<(), Code>> {
    if let Err(code) = allocate(caller, arguments.body_to, answer.body).await? {
        return Ok(Err(code));
    }
    if let Err(code) = allocate(caller, arguments.headers_to, answer.headers).await? {
        return Ok(Err(code));
    }
    Ok(parts(caller)
        .and_then(|(memory, _)| put(memory, arguments.status_at, &answer.status.to_le_bytes())))
}

/// Has the guest allocate memory for these bytes. An outer error is a trap in the guest.
async fn allocate(
    caller: &mut Caller<'_, State>,
    place: Pointers,
    bytes: Bytes,
) -> Result<Result<(), Code>> {
    let Some(Extern::Func(alloc)) = caller.get_export("alloc") else {
        return Ok(Err(Code::MemoryNotFound));
    };
    let Ok(alloc) = alloc.typed::<i32, i32>(caller.as_context_mut()) else {
        return Ok(Err(Code::MemoryNotFound));
    };
    let Ok(size) = i32::try_from(bytes.len()) else {
        return Ok(Err(Code::MemoryAccess));
    };
    let address = alloc.call_async(caller.as_context_mut(), size).await?;
    Ok(parts(caller).and_then(|(memory, _)| {
        put(memory, address, &bytes)?;
        put(memory, place.address_at, &address.to_le_bytes())?;
        put(memory, place.length_at, &length(bytes.len())?)
    }))
}
