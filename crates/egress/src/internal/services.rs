use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Weak};

use arc_swap::ArcSwap;
use headwater_core::InternalService;

use super::no_such_service::{DOMAIN, NoSuchService};
use crate::EgressError;
use crate::target::{Host, Scheme, Target};

/// The services of a host by their internal names. Clones are cheap and share the map.
///
/// Empty until [`connect`](Self::connect): services are loaded with it, and can be called only when all are
/// loaded. When services are replaced, the new ones are connected, and from then on the old ones call them,
/// too.
#[derive(Clone, Default)]
pub struct InternalServices(Arc<ArcSwap<Services>>);

/// By name, in lower case. Weak, because each service holds this map itself.
type Services = HashMap<String, Weak<dyn InternalService>>;

/// The error of two services with the same internal name.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "the services `{first}` and `{second}` would both be http://{}{DOMAIN} for the others, because \
     host names ignore case: rename one of them", first.to_ascii_lowercase()
)]
pub struct InternalNameError {
    first: String,
    second: String,
}

// === impl InternalServices ===

impl InternalServices {
    /// Replaces the known services. They can be called as long as they live.
    ///
    /// # Errors
    ///
    /// Returns an error if two names differ only in case. Nothing changes then.
    pub fn connect<'a, S: InternalService>(
        &self,
        services: impl IntoIterator<Item = (&'a str, &'a Arc<S>)>,
    ) -> Result<(), InternalNameError> {
        let mut named: HashMap<String, (&str, Weak<dyn InternalService>)> = HashMap::new();
        for (name, service) in services {
            let service: Arc<dyn InternalService> = service.clone();
            let entry = (name, Arc::downgrade(&service));
            if let Some((first, _)) = named.insert(name.to_ascii_lowercase(), entry) {
                return Err(InternalNameError {
                    first: first.to_owned(),
                    second: name.to_owned(),
                });
            }
        }
        let services = named
            .into_iter()
            .map(|(name, (_, service))| (name, service));
        self.0.store(Arc::new(services.collect()));
        Ok(())
    }

    /// Returns true if a target is for a service of this host, even a missing one: it must not leave the host.
    pub(crate) fn claims(&self, target: &Target) -> bool {
        // Names further below the domain are an organisation's own: `db.corp.internal` is not ours, unless a
        // service is called `db.corp`.
        self.name(target)
            .is_some_and(|name| !name.contains('.') || self.find(name).is_some())
    }

    /// Returns the service of a target; `None` for one reached by the network, and an error for one that is
    /// [claimed](Self::claims) and cannot be reached.
    pub(crate) fn service(
        &self,
        target: &Target,
    ) -> Result<Option<Arc<dyn InternalService>>, EgressError> {
        let Some(name) = self.name(target).filter(|_| self.claims(target)) else {
            return Ok(None);
        };
        if let Some(reason) = unspoken(Some(target.scheme), Some(target.port)) {
            return Err(EgressError::Internal {
                destination: target.to_string(),
                host: target.host.to_string(),
                reason,
            });
        }
        match self.find(name) {
            Some(service) => Ok(Some(service)),
            None => Err(EgressError::Dns {
                host: target.host.to_string(),
                // The answer of a name server for the domain.
                rcode: Some("NXDOMAIN"),
                source: Arc::new(self.none_such(target)),
            }),
        }
    }

    /// Returns the error of a target without a service, which no grant would help.
    pub(crate) fn missing(&self, target: &Target) -> Option<NoSuchService> {
        let name = self.name(target).filter(|_| self.claims(target))?;
        self.find(name).is_none().then(|| self.none_such(target))
    }

    /// Returns why a service cannot be called by this target, and the target that works.
    pub(crate) fn unspoken(&self, target: &Target) -> Option<(&'static str, Target)> {
        let reason = unspoken(Some(target.scheme), Some(target.port));
        let reason = reason.filter(|_| self.claims(target))?;
        let spoken = Target {
            scheme: Scheme::Http,
            host: target.host.clone(),
            port: Scheme::Http.default_port(),
        };
        Some((reason, spoken))
    }

    fn none_such(&self, target: &Target) -> NoSuchService {
        let services = self.0.load();
        let alive = services
            .iter()
            .filter(|(_, service)| service.strong_count() > 0);
        let mut names: Vec<_> = alive.map(|(name, _)| name.clone()).collect();
        names.sort_unstable();
        NoSuchService {
            destination: target.to_string(),
            names,
        }
    }

    fn name<'a>(&self, target: &'a Target) -> Option<&'a str> {
        match &target.host {
            Host::Name(name) => name.strip_suffix(DOMAIN),
            Host::Address(_) => None,
        }
    }

    fn find(&self, name: &str) -> Option<Arc<dyn InternalService>> {
        self.0.load().get(name)?.upgrade()
    }
}

/// Returns why a service cannot be reached by this scheme and port, where given.
pub(crate) fn unspoken(scheme: Option<Scheme>, port: Option<u16>) -> Option<&'static str> {
    if scheme == Some(Scheme::Https) {
        Some("there is no TLS within the host")
    } else if port.is_some_and(|port| port != Scheme::Http.default_port()) {
        Some("there are no ports within the host")
    } else {
        None
    }
}

impl fmt::Debug for InternalServices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.load().keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use headwater_core::{AnswerFuture, Body, Caller};
    use http::Request;

    use super::*;

    struct Nothing;

    impl InternalService for Nothing {
        fn call(self: Arc<Self>, _: Request<Body>, _: Caller) -> AnswerFuture {
            Box::pin(std::future::pending())
        }
    }

    fn target(uri: &str) -> Target {
        Target::of(&uri.parse().unwrap()).unwrap()
    }

    #[test]
    fn a_service_s_name_is_its_own_in_every_spelling_and_names_of_others_are_left_alone() {
        let service = Arc::new(Nothing);
        let services = InternalServices::default();
        services
            .connect([("Shop", &service), ("a.b", &service)])
            .unwrap();
        for uri in [
            "http://shop.internal",
            "http://SHOP.Internal.:80/x",
            "http://a.b.internal",
        ] {
            assert!(
                matches!(services.service(&target(uri)), Ok(Some(_))),
                "{uri}"
            );
        }
        for uri in [
            "http://shop",
            "http://internal",
            "http://shop.internal.example",
            "http://shopinternal",
            "https://db.corp.internal",
            "http://127.0.0.1",
        ] {
            assert!(!services.claims(&target(uri)), "{uri}");
            assert!(matches!(services.service(&target(uri)), Ok(None)), "{uri}");
        }
    }

    #[test]
    fn what_is_not_there_or_not_spoken_is_refused_with_its_reason() {
        let service = Arc::new(Nothing);
        let services = InternalServices::default();
        let error = |uri| match services.service(&target(uri)) {
            Err(error) => headwater_core::explain(&error),
            Ok(_) => panic!("{uri} is reached"),
        };
        // Also before all services are loaded.
        assert!(error("http://shop.internal").contains("no service of this host"));
        services.connect([("shop", &service)]).unwrap();
        let missing = error("http://shp.internal");
        assert!(missing.contains("no service of this host"), "{missing}");
        assert!(
            missing.ends_with("there are http://shop.internal"),
            "{missing}"
        );
        assert!(
            error("https://shop.internal")
                .ends_with("no TLS within the host: write http://shop.internal")
        );
        assert!(error("https://shop.internal:80").ends_with("write http://shop.internal"));
        assert!(
            error("http://shop.internal:8080")
                .ends_with("no ports within the host: write http://shop.internal")
        );
        drop(service);
        assert!(error("http://shop.internal").contains("no service of this host"));
    }

    #[test]
    fn services_that_come_are_found_in_place_of_those_that_go() {
        let (old, new) = (Arc::new(Nothing), Arc::new(Nothing));
        let services = InternalServices::default();
        let held_by_the_old = services.clone();
        services.connect([("shop", &old), ("gone", &old)]).unwrap();
        services.connect([("shop", &new)]).unwrap();
        drop(old);
        let found = |uri| held_by_the_old.service(&target(uri));
        assert!(matches!(found("http://shop.internal"), Ok(Some(_))));
        assert!(found("http://gone.internal").is_err());
    }

    #[test]
    fn names_that_differ_in_case_alone_are_refused_by_name() {
        let service = Arc::new(Nothing);
        let error = InternalServices::default()
            .connect([("shop", &service), ("SHOP", &service)])
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("`shop`") && error.contains("`SHOP`"),
            "{error}"
        );
    }
}
