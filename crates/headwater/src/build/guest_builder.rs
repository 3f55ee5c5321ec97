use std::sync::Arc;

use anyhow::{Result, ensure};
use headwater_config::RouteConfig;
use headwater_egress::Egress;
use headwater_runtime::capability::Grant;
use headwater_runtime::{
    ComponentService, ComponentSettings, Engine, ForbiddenHeaders, OutgoingHttp,
};
use headwater_telemetry::Metrics;

use crate::build::running_service::Runner;
use crate::convert;
use crate::spec::service_spec::{Guest, ServiceSpec, ServiceSummary};

/// Everything that a guest is loaded with, except its binary.
pub(crate) struct GuestBuilder {
    pub(crate) spec: Arc<ServiceSpec>,
    pub(crate) egress: Egress,
    pub(crate) forbidden_headers: ForbiddenHeaders,
    pub(crate) engine: Engine,
    #[cfg_attr(
        not(feature = "wagi"),
        allow(dead_code, reason = "only WAGI modules get it")
    )]
    pub(crate) authority: String,
    #[cfg_attr(
        not(feature = "wagi"),
        allow(dead_code, reason = "only WAGI modules get it")
    )]
    pub(crate) keep_snapshots: bool,
    pub(crate) metrics: Metrics,
}

// === impl GuestBuilder ===

impl GuestBuilder {
    /// Compiles and links the guest, on a thread that may block. Adds the routes that a module
    /// names itself.
    pub(crate) fn build(&self, binary: &[u8], routes: &mut Vec<RouteConfig>) -> Result<Runner> {
        match self.spec.guest {
            Guest::Component(_) => {
                let component = ComponentService::load(&self.engine, binary, self.component())?;
                ensure!(
                    self.spec.action.is_none() || component.hooks().is_some(),
                    "`body` and `larger_bodies` are for action components, and this component calls what is behind \
                     it itself: leave them out"
                );
                Ok(Runner::Component(Arc::new(component)))
            }
            #[cfg(feature = "wagi")]
            Guest::Module(_) => {
                let module = super::module::load(self, binary, routes)?;
                Ok(Runner::Module(module.into()))
            }
            #[cfg(not(feature = "wagi"))]
            Guest::Module(_) => {
                let _unchanged = routes;
                anyhow::bail!(crate::WITHOUT_WAGI)
            }
        }
    }

    fn component(&self) -> ComponentSettings {
        let ServiceSpec {
            outline,
            guest: _,
            settings,
            identities: _,
            headers: _,
            module: _,
            role,
            action,
            found: _,
        } = &*self.spec;
        let ServiceSummary {
            name,
            file: _,
            grants: _,
            environment,
            directories,
            unverified: _,
            capabilities,
        } = &**outline;
        let mut grants = capabilities.clone();
        grants.set(Grant::new(OutgoingHttp, self.egress.clone().into()));
        ComponentSettings {
            service: name.clone(),
            environment: environment.clone(),
            directories: directories.clone(),
            limits: convert::service::limits(&settings.limits),
            forbidden_headers: self.forbidden_headers.clone(),
            pool: convert::service::pool(settings),
            grants,
            metrics: self.metrics.clone(),
            role: *role,
            action: action.unwrap_or_default(),
        }
    }
}
