//! Scopes by a token of the host.

use std::rc::Rc;

use crate::{Name, Scope};

mod bindings {
    wit_bindgen::generate!({
        path: "../../wit/headwater-attribution",
        world: "imports",
    });
}

use bindings::headwater::attribution::scope::{self, Entered, Token};

pub(crate) type Shared = Rc<Token>;

/// Until it is dropped, or the task yields to the host, calls are made for the scope's request.
///
/// Don't keep it across an `.await`: it lapses there, and the host reports calls as ambiguous that
/// it can no longer attribute. [`Scope::wrap`] enters around each poll instead.
pub struct Guard {
    _entered: Option<Entered>,
}

pub(crate) fn run<R>(token: &Token, work: impl FnOnce() -> R) -> R {
    let _entered = token.enter();
    work()
}

impl Scope {
    /// Returns the current request. Call it at the beginning of a handler. Returns `None` if the
    /// host does not know the request exactly.
    pub fn current() -> Option<Self> {
        scope::current().map(|token| Self(Name::Token(Rc::new(token))))
    }

    /// Works for this request until the guard is dropped; see [`Guard`]. This has no effect for a
    /// scope without a token.
    pub fn enter(&self) -> Guard {
        let _entered = self.token().map(Token::enter);
        Guard { _entered }
    }

    /// Returns true while the request lives. The token of a finished request has no effect.
    pub fn is_live(&self) -> bool {
        self.token().is_none_or(Token::is_live)
    }

    fn token(&self) -> Option<&Token> {
        match &self.0 {
            Name::Token(token) => Some(token),
            #[cfg(feature = "wasip3")]
            Name::Id(_) => None,
        }
    }
}
