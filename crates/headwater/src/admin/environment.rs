//! The variables, arguments, directories and grants of a guest, for operators.
//!
//! Values of variables may be secrets, so those of the configuration are not shown.

use headwater_core::REDACTED;
use serde_json::{Value, json};

use crate::build::running_service::RunningService;
use crate::reload::RunningHost;

/// The service or the request is not there, for this reason.
#[derive(Debug)]
pub(super) struct NotFound(pub(super) String);

/// Returns what the guest of a service is given, or was given for the request with this id.
pub(super) fn of(
    running: &RunningHost,
    name: &str,
    request: Option<&str>,
) -> Result<Value, NotFound> {
    let services = running.registry().current();
    let service = services.iter().find(|service| **service.name() == *name);
    let service = service
        .ok_or_else(|| NotFound(format!("there is no service or middleware named `{name}`")))?;
    match request {
        None => Ok(of_service(service)),
        Some(id) => of_request(service, id),
    }
}

fn of_service(service: &RunningService) -> Value {
    let outline = &service.outline;
    let variables = outline.environment.iter();
    let variables: serde_json::Map<_, _> = variables
        .map(|(name, _)| (name.clone(), REDACTED.into()))
        .collect();
    let directories = outline.directories.iter().map(|directory| {
        json!({
            "guest": directory.guest,
            "host": directory.host,
            "read_only": directory.read_only,
        })
    });
    let may_call = outline.grants.iter().map(ToString::to_string);
    json!({
        "service": &*outline.name,
        "kind": service.spec.guest.kind(),
        "environment": variables,
        "arguments": arguments(service),
        "directories": directories.collect::<Value>(),
        "may_call": may_call.collect::<Value>(),
        "grants": service.grants(),
    })
}

/// Returns the template of a module's arguments. Components have no arguments.
fn arguments(service: &RunningService) -> Value {
    match service.spec.guest.is_module() {
        false => json!([]),
        true => match &service.spec.module.argv {
            Some(template) => template.as_str().into(),
            None => "the path, and each part of the query between `&`".into(),
        },
    }
}

fn of_request(service: &RunningService, id: &str) -> Result<Value, NotFound> {
    let name = service.name();
    let parsed = headwater_core::RequestId::parse(id.as_bytes());
    let id = parsed
        .ok_or_else(|| NotFound(format!("`{id}` is not the id of a request of this host")))?;
    #[cfg(feature = "wagi")]
    if service.spec.guest.is_module() {
        let module = service.runner.module();
        let found = module.and_then(|module| module.snapshot(id));
        let found = found.ok_or_else(|| {
            NotFound(format!(
                "`{name}` did not get the request {id}, or has had 100 others since"
            ))
        })?;
        let variables = found.environment.into_iter();
        let variables: serde_json::Map<_, _> = variables
            .map(|(name, value)| (name, value.into()))
            .collect();
        return Ok(json!({
            "service": &**name,
            "request_id": id.to_string(),
            "environment": variables,
            "arguments": found.arguments,
        }));
    }
    let _not_asked = id;
    Err(NotFound(format!(
        "`{name}` is a component, whose environment is the same for all requests: leave out `request`"
    )))
}
