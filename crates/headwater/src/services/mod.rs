//! The services of a host, from what is said of them to what answers.

mod internal_grants;
mod loaded;
mod loading;
mod made_of;
mod named;
mod plan;
mod planned;
mod routing;

pub(crate) use internal_grants::idle_grant;
use loaded::hosts_of;
pub(crate) use loaded::{Loaded, Runner, fronts, hosts, router};
pub(crate) use loading::{Common, load};
pub(crate) use made_of::Outline;
pub(crate) use plan::{HostSettings, Plan, of_content, plan};
pub(crate) use planned::Planned;
