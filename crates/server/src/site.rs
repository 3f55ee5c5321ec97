//! What the connections of one listener have in common.

use std::sync::Arc;

use crate::clock::Times;
use crate::codec::Codec;
use crate::front::Front;
use crate::params::ProxyProtocol;
use crate::target::Origin;
use crate::tls::Identity;

/// How the connections of a listener are served.
pub(crate) struct Site {
    pub(crate) front: Arc<Front>,
    pub(crate) codec: Arc<Codec>,
    pub(crate) times: Times,
    pub(crate) origin: Origin,
    pub(crate) identity: Option<Arc<Identity>>,
    pub(crate) proxy_protocol: ProxyProtocol,
}
