//! Handlers that need no guest.

mod files;
mod fixed;
mod redirect;

pub use files::{Files, FilesError};
pub use fixed::Fixed;
pub use redirect::{Redirect, RedirectError};
