//! Scopes by the request's id, which outgoing requests carry.

use std::cell::RefCell;
use std::rc::Rc;

use wasip3::http::types::{Fields, Request};

use crate::{Name, Scope};

/// The header with which the host names each incoming request.
const REQUEST_ID: &str = "x-request-id";

pub(crate) type Shared = Rc<[u8]>;

thread_local! {
    /// The id of the current request. It is never kept across a yield to the host.
    static IN_SCOPE: RefCell<Option<Shared>> = const { RefCell::new(None) };
}

/// Restores the previous value.
struct Before(Option<Shared>);

impl Drop for Before {
    fn drop(&mut self) {
        IN_SCOPE.set(self.0.take());
    }
}

pub(crate) fn run<R>(id: &Shared, work: impl FnOnce() -> R) -> R {
    let _before = Before(IN_SCOPE.replace(Some(Rc::clone(id))));
    work()
}

/// Adds the id of the request in whose scope this is called ([`Scope::by_id`]) to the fields of an
/// outgoing request. Fields are unchanged outside any scope, and if they have an `x-request-id`
/// already.
///
/// ```no_run
/// # use wasip3::http::types::{Fields, Request};
/// # use wasip3::wit_future;
/// # fn call(headers: Fields) {
/// # let (_, trailers) = wit_future::new(|| Ok(None));
/// let (request, _) = Request::new(headwater_attribution::named(headers), None, trailers, None);
/// # }
/// ```
pub fn named(headers: Fields) -> Fields {
    if let Some(id) = IN_SCOPE.with_borrow(Clone::clone)
        && !headers.has(REQUEST_ID)
    {
        // Immutable fields stay as they are.
        let _ = headers.set(REQUEST_ID, &[id.to_vec()]);
    }
    headers
}

impl Scope {
    /// Names this request by its `x-request-id`. Returns `None` if it has none.
    pub fn by_id(request: &Request) -> Option<Self> {
        let id = request.get_headers().get(REQUEST_ID).into_iter().next()?;
        Some(Self(Name::Id(id.into())))
    }
}
