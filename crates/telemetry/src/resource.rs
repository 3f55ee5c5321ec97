//! The OpenTelemetry resource of spans and metrics.

use std::borrow::Cow;
use std::collections::HashMap;

use headwater_core::{RequestId, ServiceName};
use opentelemetry::{Key, KeyValue, Value};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SpanData;
use opentelemetry_semantic_conventions::resource::{SERVICE_NAME, SERVICE_VERSION};

use crate::attributes::SERVICE;

/// The SDK's default `service.name`.
const UNNAMED: &str = "unknown_service";

/// Names of the semantic conventions, in development there.
const SERVICE_INSTANCE_ID: &str = "service.instance.id";
const SERVICE_NAMESPACE: &str = "service.namespace";

#[derive(Debug, Clone)]
pub(crate) struct Resources {
    name: ServiceName,
    host: Resource,
}

/// Returns the resource of the host: from `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES`, with defaults.
/// `service.instance.id` is generated for each process, as the semantic conventions ask for.
pub(crate) fn host() -> Resource {
    let said = Resource::builder().build();
    let says = |key: &'static str| said.get(&Key::from_static_str(key));
    let mut resource = Resource::builder()
        .with_attribute(KeyValue::new(SERVICE_VERSION, env!("CARGO_PKG_VERSION")));
    if says(SERVICE_NAME).is_none_or(|name| name.as_str().starts_with(UNNAMED)) {
        resource = resource.with_service_name("headwater");
    }
    if says(SERVICE_INSTANCE_ID).is_none() {
        // A UUID, like a request's id.
        let id = RequestId::new().to_string();
        resource = resource.with_attribute(KeyValue::new(SERVICE_INSTANCE_ID, id));
    }
    resource.build()
}

// === impl Resources ===

impl Resources {
    pub(crate) fn new(name: ServiceName) -> Self {
        Self {
            name,
            host: Resource::builder_empty().build(),
        }
    }

    /// Sets the host's resource; the SDK does so when a processor is added.
    pub(crate) fn set_host(&mut self, host: &Resource) {
        self.host = host.clone();
    }

    /// Returns the resource of a service, or of the host if there is none.
    pub(crate) fn of(&self, service: Option<&str>) -> Cow<'_, Resource> {
        let Some(service) = service else {
            return Cow::Borrowed(&self.host);
        };
        let said = self.host.iter();
        let said = said.map(|(key, value)| KeyValue::new(key.clone(), value.clone()));
        let mut resource = Resource::builder_empty().with_attributes(said);
        let host = self.host.get(&Key::from_static_str(SERVICE_NAME));
        if let Some(host) = host
            && self
                .host
                .get(&Key::from_static_str(SERVICE_NAMESPACE))
                .is_none()
        {
            resource = resource.with_attribute(KeyValue::new(SERVICE_NAMESPACE, host));
        }
        Cow::Owned(resource.with_service_name(service.to_owned()).build())
    }

    /// Groups spans by service, if services have resources of their own.
    pub(crate) fn split(&self, batch: Vec<SpanData>) -> Vec<(Option<String>, Vec<SpanData>)> {
        if self.name == ServiceName::Host {
            return vec![(None, batch)];
        }
        let mut parts: HashMap<Option<String>, Vec<SpanData>> = HashMap::new();
        for span in batch {
            parts.entry(service(&span)).or_default().push(span);
        }
        parts.into_iter().collect()
    }
}

fn service(span: &SpanData) -> Option<String> {
    let mut attributes = span.attributes.iter();
    let found = attributes.find(|attribute| attribute.key.as_str() == SERVICE)?;
    match &found.value {
        Value::String(name) if !name.as_str().is_empty() => Some(name.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(resource: &Resource, key: &'static str) -> Option<String> {
        let value = resource.get(&Key::from_static_str(key))?;
        Some(value.to_string())
    }

    #[test]
    fn a_host_that_nobody_named_is_headwater_and_each_process_is_an_instance_of_its_own() {
        let (one, other) = (host(), host());
        assert_eq!(get(&one, SERVICE_NAME).as_deref(), Some("headwater"));
        let id = get(&one, SERVICE_INSTANCE_ID).unwrap();
        assert_eq!(id.len(), 36, "{id}");
        assert_ne!(get(&other, SERVICE_INSTANCE_ID), Some(id));
    }

    #[test]
    fn a_service_of_its_own_name_is_in_the_namespace_of_the_host() {
        let mut resources = Resources::new(ServiceName::Service);
        let host = host();
        resources.set_host(&host);
        assert_eq!(*resources.of(None), host);
        let shop = resources.of(Some("shop"));
        assert_eq!(get(&shop, SERVICE_NAME).as_deref(), Some("shop"));
        assert_eq!(get(&shop, SERVICE_NAMESPACE).as_deref(), Some("headwater"));
        assert_eq!(
            get(&shop, SERVICE_INSTANCE_ID),
            get(&host, SERVICE_INSTANCE_ID)
        );
    }
}
