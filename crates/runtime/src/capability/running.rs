use super::erased::Started;
use crate::guest_state::InstanceCapabilities;

/// What the capabilities of a service keep while any of its instances lives.
pub(crate) struct ServiceCapabilities(Box<[Box<dyn Started>]>);

impl ServiceCapabilities {
    pub(super) fn new(started: impl Iterator<Item = Box<dyn Started>>) -> Self {
        Self(started.collect())
    }

    pub(crate) fn instance(&self) -> InstanceCapabilities {
        InstanceCapabilities(self.0.iter().map(|started| started.instance()).collect())
    }
}
