//! A shared executor: each request's work is done by another request, in the other's task. The call
//! stack then names the wrong request, and the guest names the right one: by a token, or by the
//! headers of its calls. It can also lie.
//!
//! `GET /?to=URL&k=3&wait=20&witness=token`; see `witness.rs` for the witnesses, and `hostile.rs`
//! for the other paths.

mod hostile;
mod queue;
mod witness;

use futures::future::join;
use guest::{Call, ErrorCode, Query, Request, Response, tag, text, wait};
use wasip3::random::insecure::get_insecure_random_u64;

use crate::queue::Work;
use crate::witness::Witness;

struct Executor;

impl wasip3::exports::http::handler::Guest for Executor {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let query = Query::of(&request);
        // Works under any route.
        let what = query.path.rsplit('/').next().unwrap_or_default();
        let answer = match what {
            "" => swapped(&query, &request).await,
            _ => hostile::answer(what, &query, &request).await,
        };
        Ok(answer.unwrap_or_else(|problem| text(502, problem + "\n")))
    }
}

/// Queues `k` calls, does the work that others queued, and makes one call directly.
async fn swapped(query: &Query, request: &Request) -> Result<Response, String> {
    let calls = query.number("k", 3);
    let longest_wait = query.number("wait", 20);
    let call = Call::to(query, request)?;
    let present = witness::Present::enter(request);
    let witness = Witness::asked_for(query, request, &present)?;

    let work = {
        let call = witness.mark(call.clone());
        async move {
            for i in 0..calls {
                wait(get_insecure_random_u64() % longest_wait.saturating_add(1)).await;
                call.make(i).await?;
            }
            Ok(())
        }
    };
    let work = Work::new(witness.wrap(work));
    let direct = async {
        wait(get_insecure_random_u64() % longest_wait.saturating_add(1)).await;
        // Not through the queue, and without a witness.
        call.make(queue::DIRECT).await
    };
    let (by_others, direct) = join(queue::exchange(work), direct).await;
    let by_others = by_others?;
    direct?;

    let mut body = tag(request);
    let who = if by_others { "another" } else { "itself" };
    body.extend(format!(": {calls} of {calls} answered by {who}\n").bytes());
    Ok(text(200, body))
}

wasip3::http::service::export!(Executor);
