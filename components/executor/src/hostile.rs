//! Wrong uses of tokens, and permitted ones.
//!
//! - `/keep`: keeps a token of this request for later.
//! - `/hold?to=URL`: does the same; sends a response head and a part of the body, then makes a call, and
//!   ends when it is answered. Meanwhile it is the other request of `witness.rs`.
//! - `/linger?to=URL`: does the same; answers at once, and makes the call in a spawned task.
//! - `/kept`: answers `live` or `gone`, the state of the kept token's request.
//! - `/use-kept?to=URL`: makes a call under the kept token.
//! - `/order?to=URL`: enters a token twice and leaves in the wrong order; call 0 is made while it is
//!   entered once, call 1 after it was left.
//! - `/across?to=URL`, `/across-kept?to=URL`: enters a token of this request, or the kept one, awaits,
//!   and makes call 0 under the token entered before; then leaves, and makes call 1.

use std::cell::RefCell;

use crate::witness::Present;
use guest::{Call, Fields, Query, Request, Response, WHOLE_BODY, tag, text, wait};
use headwater_attribution::Scope;
use wasip3::{spawn_local, wit_future, wit_stream};

thread_local! {
    static KEPT: RefCell<Option<Scope>> = const { RefCell::new(None) };
}

pub async fn answer(what: &str, query: &Query, request: &Request) -> Result<Response, String> {
    let token = || Scope::current().ok_or_else(|| "no token".to_owned());
    match what {
        "keep" => KEPT.set(Some(token()?)),
        "kept" => {
            let state = if kept()?.is_live() { "live" } else { "gone" };
            return Ok(text(200, format!("{state}\n")));
        }
        "use-kept" => {
            let call = Call::to(query, request)?;
            Scope::wrap(kept()?, call.make(0)).await?;
        }
        "order" => {
            let (scope, call) = (token()?, Call::to(query, request)?);
            let (first, second) = (scope.enter(), scope.enter());
            drop(first);
            // Created before anything is awaited.
            call.make(0).await?;
            drop(second);
            call.make(1).await?;
        }
        "across" => across(token()?, Call::to(query, request)?).await?,
        "across-kept" => across(kept()?, Call::to(query, request)?).await?,
        "hold" => {
            KEPT.set(Some(token()?));
            return Ok(hold(Call::to(query, request)?, Present::enter(request)));
        }
        "linger" => {
            KEPT.set(Some(token()?));
            let call = Call::to(query, request)?;
            spawn_local(async move {
                let _ = call.make(0).await;
            });
        }
        what => return Ok(text(404, format!("there is no /{what}\n"))),
    }
    let mut body = tag(request);
    body.extend(b": done\n");
    Ok(text(200, body))
}

fn kept() -> Result<Scope, String> {
    let kept = KEPT.with_borrow(Clone::clone);
    kept.ok_or_else(|| "no token was kept".to_owned())
}

async fn across(scope: Scope, call: Call) -> Result<(), String> {
    let guard = scope.enter();
    wait(1).await;
    call.make(0).await?;
    drop(guard);
    call.make(1).await
}

fn hold(call: Call, present: Present) -> Response {
    let (mut writer, reader) = wit_stream::new();
    let (_, end) = wit_future::new(WHOLE_BODY);
    let (response, _sent) = Response::new(Fields::new(), Some(reader), end);
    spawn_local(async move {
        writer.write_all(b"held\n".to_vec()).await;
        let _ = call.make(0).await;
        drop(present);
    });
    response
}
