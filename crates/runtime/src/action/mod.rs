//! Action components: middlewares that do not call what is behind them, but tell the host what to do.
//!
//! They export hooks: functions that get a request, a response or a fault, and return an action. The host
//! calls each in an instance of the component's pool, and carries the action out. The hooks `on-request` and
//! `on-response` are those of the Shepherd Model Gateway (`wit/smg-gateway`), `on-error` is Headwater's own
//! (`wit/headwater-middleware`).
//!
//! [`link`] takes a request through the hooks. [`hooks`] finds and types them, [`call`] is one call in an
//! instance, [`body`] reads what a hook may see of a body, and [`apply`] carries an action out.

mod apply;
mod body;
mod call;
mod hooks;
mod link;
mod types;

pub use self::body::LargerBodies;
pub(crate) use self::call::{HookCall, HookRun};
pub use self::hooks::Hooks;
pub(crate) use self::hooks::{ActionGuest, ActionPre};
pub(crate) use self::link::ActionLink;

/// The settings of an action component.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ActionSettings {
    /// The bytes of a body that hooks may get. 0: hooks get no bodies, and bodies stream past. Default: 0.
    pub body: usize,
    /// The fate of messages with larger bodies. Has no effect if `body` is 0.
    pub larger_bodies: LargerBodies,
}
