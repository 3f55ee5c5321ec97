//! `headwater:request/context`: named values that flow with a request through a chain.
//!
//! The interface's text is in `wit/headwater-request`. The values are part of the request's scope; this module
//! decides who may read and set them.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use headwater_core::fields::is_hop_by_hop;
use headwater_core::hops::CDN_LOOP;
use headwater_core::{
    Attribution, CONTEXT_VARIABLE, ContextError, ContextName, ContextNames, RequestScope,
};
use headwater_runtime::GuestState;
use headwater_runtime::capability::{
    Capability, Explained, GrantError, ServiceContext, Value, attribution, call, count,
};
use headwater_telemetry::propagation;
use http::HeaderName;
use http::header::{CONTENT_LENGTH, HOST};
use wasmtime::StoreContextMut;
use wasmtime::component::{ComponentType, Lift, Linker, Lower};

/// The interface's name in metrics and spans.
const NAME: &str = "headwater:request/context";

const INTERFACE: &str = "headwater:request/context@0.1.0";

/// The capability `headwater:request/context`, granted by the key `context`.
#[derive(Debug, Clone, Copy)]
pub struct ContextAccess;

/// The values that a guest may read and set. The default grants nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ContextGrant {
    /// The values that the guest may read. A WAGI module gets them as variables.
    pub get: ContextNames,
    /// The values that the guest may set.
    pub set: ContextNames,
    /// Those of the values that it sets which the request's spans show.
    pub spans: ContextNames,
    /// Variables of a WAGI module that have a value, if it is set.
    pub variables: BTreeMap<String, ContextName>,
    /// Header fields of the guest's outgoing requests that have a value, if it is set.
    pub headers: Vec<(HeaderName, ContextName)>,
}

/// The interface's errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ComponentType, Lift, Lower)]
#[component(enum)]
#[repr(u8)]
enum Error {
    #[component(name = "unknown-request")]
    UnknownRequest,
    #[component(name = "denied")]
    Denied,
    #[component(name = "invalid-name")]
    InvalidName,
    #[component(name = "invalid-value")]
    InvalidValue,
    #[component(name = "too-large")]
    TooLarge,
    #[component(name = "too-many")]
    TooMany,
}

type Values = Vec<(String, String)>;

// === impl ContextAccess ===

impl Capability for ContextAccess {
    type Grant = ContextGrant;
    type Service = ContextGrant;
    type Instance = Arc<ContextGrant>;

    fn interfaces(&self) -> &'static [&'static str] {
        &[INTERFACE]
    }

    fn link(&self, linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
        let mut context = linker.instance(INTERFACE)?;
        context.func_wrap("get", get)?;
        context.func_wrap("list", list)?;
        context.func_wrap("set", set)
    }

    fn key(&self) -> Option<&'static str> {
        Some("context")
    }

    fn is_for_modules(&self) -> bool {
        true
    }

    fn about(&self) -> &'static str {
        "Access to the context of requests, which are named values that guests set and that flow with a request \
         (`headwater:request/context`). `get` and `set`: names that the guest may read and set, such as `user`, \
         `flag-*` or `*`. `spans`: names that spans show, of those that the guest sets. `headers`: header fields of \
         its outgoing requests, each with the name of its value. `variables`: likewise, environment variables of a \
         WAGI module. Default: none."
    }

    fn schema(&self) -> Value {
        let names = serde_json::json!({ "type": "array", "items": { "type": "string" } });
        let named =
            serde_json::json!({ "type": "object", "additionalProperties": { "type": "string" } });
        serde_json::json!({
            "type": "object",
            "additionalProperties": false,
            "properties": {
                "get": names, "set": names, "spans": names, "variables": named, "headers": named,
            },
        })
    }

    fn read(&self, value: &Value, _folder: &Path) -> Result<ContextGrant, GrantError> {
        let table = value.as_object().ok_or_else(|| {
            GrantError::new("expected a table: write it in braces, as in `{ get = [\"user\"] }`")
        })?;
        let mut grant = ContextGrant::default();
        for (key, value) in table {
            match key.as_str() {
                "get" => names(value).map(|names| grant.get = names),
                "set" => names(value).map(|names| grant.set = names),
                "spans" => names(value).map(|names| grant.spans = names),
                "variables" => variables(value).map(|variables| grant.variables = variables),
                "headers" => headers(value).map(|headers| grant.headers = headers),
                _ => Err(GrantError::new(
                    "unknown key: write `get`, `set`, `spans`, `variables` or `headers`",
                )),
            }
            .map_err(|error| error.at(key))?;
        }
        if grant.set.is_empty() && !grant.spans.is_empty() {
            return Err(GrantError::new(
                "spans show values that this guest sets, and it may set none: grant them in `set`",
            )
            .at("spans"));
        }
        Ok(grant)
    }

    fn explain(&self, grant: &ContextGrant) -> Vec<Explained> {
        let ContextGrant {
            get,
            set,
            spans,
            variables,
            headers,
        } = grant;
        let mut items = Vec::new();
        for (what, names) in [("get", get), ("set", set), ("spans", spans)] {
            items.extend(names.iter().map(|name| format!("{what} {name}")));
        }
        items.extend(
            variables
                .iter()
                .map(|(variable, name)| format!("{variable} = {name}")),
        );
        items.extend(
            headers
                .iter()
                .map(|(header, name)| format!("{header}: {name}")),
        );
        match items.is_empty() {
            true => Vec::new(),
            false => vec![Explained::list("context", items)],
        }
    }

    fn start(&self, grant: &ContextGrant, _service: &ServiceContext) -> ContextGrant {
        grant.clone()
    }

    fn instance(&self, grant: &Arc<ContextGrant>) -> Arc<ContextGrant> {
        Arc::clone(grant)
    }
}

// === impl ContextGrant ===

impl ContextGrant {
    /// Returns a key of the grant that has no effect on a guest of this kind, and the reason.
    #[must_use]
    pub fn without_effect(&self, is_module: bool) -> Option<(&'static str, &'static str)> {
        match is_module {
            true if !self.set.is_empty() => Some((
                "set",
                "a WAGI module cannot set context values: leave it out",
            )),
            false if !self.variables.is_empty() => Some((
                "variables",
                "it is for WAGI modules; a component reads values by `headwater:request/context`: grant them in \
                 `get`",
            )),
            _ => None,
        }
    }
}

fn names(value: &Value) -> Result<ContextNames, GrantError> {
    let list = value.as_array().ok_or_else(|| {
        GrantError::new("expected a list of names, as in `[\"user\", \"flag-*\"]`")
    })?;
    let mut names = ContextNames::default();
    for (at, name) in list.iter().enumerate() {
        let text = name
            .as_str()
            .ok_or_else(|| GrantError::new("expected text"));
        let added = text.and_then(|text| {
            let added = names.add(text);
            added.map_err(|error| GrantError::new(error.to_string()))
        });
        added.map_err(|error| error.at(at))?;
    }
    Ok(names)
}

/// Returns the entries of a table of names of values.
fn named(
    value: &Value,
) -> Result<impl Iterator<Item = Result<(&String, ContextName), GrantError>>, GrantError> {
    let table = value.as_object().ok_or_else(|| {
        GrantError::new("expected a table: write it in braces, each entry with the name of a value")
    })?;
    Ok(table.iter().map(|(key, name)| {
        let name = name
            .as_str()
            .ok_or_else(|| GrantError::new("expected text"));
        let name = name.and_then(|name| {
            name.parse::<ContextName>()
                .map_err(|error| GrantError::new(error.to_string()))
        });
        name.map(|name| (key, name)).map_err(|error| error.at(key))
    }))
}

fn variables(value: &Value) -> Result<BTreeMap<String, ContextName>, GrantError> {
    let mut variables = BTreeMap::new();
    for entry in named(value)? {
        let (variable, name) = entry?;
        let why = if variable.is_empty() || variable.contains(['=', '\0']) {
            "it is not the name of a variable: write one without `=`"
        } else if variable.starts_with("HTTP_") {
            "a client can set this variable by a header field of its request: name another"
        } else if variable.starts_with(CONTEXT_VARIABLE) {
            "variables with this beginning hold the values that the module may read: grant them in `get`"
        } else {
            variables.insert(variable.clone(), name);
            continue;
        };
        return Err(GrantError::new(why).at(variable));
    }
    Ok(variables)
}

fn headers(value: &Value) -> Result<Vec<(HeaderName, ContextName)>, GrantError> {
    let mut headers = Vec::new();
    for entry in named(value)? {
        let (header, name) = entry?;
        let parsed = header.parse::<HeaderName>().map_err(|_invalid| {
            GrantError::new(
                "it is not a header field name: write letters, digits and hyphens, such as `x-user`",
            )
            .at(header)
        })?;
        if is_of_host(&parsed) {
            let why = "the host sets this header field itself: name another";
            return Err(GrantError::new(why).at(header));
        }
        if headers.iter().any(|(other, _)| *other == parsed) {
            let why = "this header field has a value already, in another spelling: leave one out";
            return Err(GrantError::new(why).at(header));
        }
        headers.push((parsed, name));
    }
    Ok(headers)
}

/// Returns true if the host decides about a header field of outgoing requests by other rules.
fn is_of_host(name: &HeaderName) -> bool {
    let others = [
        HOST,
        CONTENT_LENGTH,
        CDN_LOOP,
        propagation::TRACEPARENT,
        propagation::TRACESTATE,
        propagation::X_REQUEST_ID,
    ];
    is_hop_by_hop(name) || others.contains(name)
}

// Reading is only counted: it is a map lookup, and takes less time than a span.

fn get(
    mut store: StoreContextMut<'_, GuestState>,
    (name,): (String,),
) -> wasmtime::Result<(Result<Option<String>, Error>,)> {
    let grant = Arc::clone(store.data_mut().capability::<ContextAccess>()?);
    let name = granted(&grant.get, &name);
    if name.is_err() {
        let call = call(&mut store, NAME, "get");
        return Ok((call.end(name.map(|_| None)),));
    }
    let attribution = attribution(&mut store);
    count(store.data(), NAME, "get");
    Ok((name.and_then(|name| {
        let value = known(&attribution)?.context().get(&name);
        Ok(value.map(|value| value.to_string()))
    }),))
}

fn list(
    mut store: StoreContextMut<'_, GuestState>,
    (): (),
) -> wasmtime::Result<(Result<Values, Error>,)> {
    let grant = Arc::clone(store.data_mut().capability::<ContextAccess>()?);
    if grant.get.is_empty() {
        let call = call(&mut store, NAME, "list");
        return Ok((call.end(Err(Error::Denied)),));
    }
    let attribution = attribution(&mut store);
    count(store.data(), NAME, "list");
    Ok((known(&attribution).map(|scope| {
        let values = scope.context().list().into_iter();
        let values = values.filter(|(name, _)| grant.get.contains(name));
        values
            .map(|(name, value)| (name.to_string(), value.to_string()))
            .collect()
    }),))
}

fn set(
    mut store: StoreContextMut<'_, GuestState>,
    (name, value): (String, Option<String>),
) -> wasmtime::Result<(Result<(), Error>,)> {
    let call = call(&mut store, NAME, "set");
    let grant = store.data_mut().capability::<ContextAccess>()?;
    let set = granted(&grant.set, &name).and_then(|name| {
        let traced = grant.spans.contains(&name);
        let scope = known(call.attribution())?;
        scope.set_context(&name, value.as_deref(), traced)?;
        Ok(())
    });
    Ok((call.end(set),))
}

/// Returns the name, if it is one that the guest was granted.
fn granted(names: &ContextNames, name: &str) -> Result<ContextName, Error> {
    let name: ContextName = name.parse().map_err(|_invalid| Error::InvalidName)?;
    match names.contains(&name) {
        true => Ok(name),
        false => Err(Error::Denied),
    }
}

/// Returns the request of a call. Never one that the call may have been made for.
fn known(attribution: &Attribution) -> Result<&Arc<RequestScope>, Error> {
    attribution.scope().ok_or(Error::UnknownRequest)
}

impl From<ContextError> for Error {
    fn from(error: ContextError) -> Self {
        match error {
            ContextError::ControlCharacter => Self::InvalidValue,
            ContextError::TooLarge => Self::TooLarge,
            ContextError::TooMany => Self::TooMany,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use headwater_core::{Doubt, RequestId, ScopeParts, SpanContext, Witness};
    use serde_json::json;

    use super::*;

    fn read(value: &Value) -> Result<ContextGrant, GrantError> {
        ContextAccess.read(value, Path::new(""))
    }

    fn scope() -> Arc<RequestScope> {
        RequestScope::new(ScopeParts {
            id: RequestId::new(),
            parent: None,
            span: SpanContext::empty_context(),
            service: "shop".into(),
            route: "/...".into(),
            host: None,
            client: None,
            started: Instant::now(),
            deadline: None,
        })
    }

    #[test]
    fn a_grant_names_what_may_be_read_set_shown_and_copied() {
        let grant = read(&json!({
            "get": ["user", "flag-*"],
            "set": ["tenant"],
            "spans": ["tenant"],
            "variables": { "REMOTE_USER": "user" },
            "headers": { "X-User": "user" },
        }));
        let items = [
            "get user",
            "get flag-*",
            "set tenant",
            "spans tenant",
            "REMOTE_USER = user",
            "x-user: user",
        ];
        assert_eq!(
            ContextAccess.explain(&grant.unwrap()),
            [Explained::list("context", items)]
        );
        assert!(ContextAccess.explain(&ContextGrant::default()).is_empty());
    }

    #[test]
    fn a_grant_that_makes_no_sense_is_an_error_at_its_key() {
        for (wrong, path, said) in [
            (json!(["user"]), "", "expected a table"),
            (json!({ "read": [] }), "read", "unknown key"),
            (json!({ "get": "user" }), "get", "expected a list"),
            (json!({ "get": ["user", "User"] }), "get.1", "`User` is not"),
            (json!({ "set": [5] }), "set.0", "expected text"),
            (json!({ "spans": ["user"] }), "spans", "grant them in `set`"),
            (
                json!({ "variables": { "A=": "user" } }),
                "variables.A=",
                "not the name of a variable",
            ),
            (
                json!({ "variables": { "HTTP_X_USER": "user" } }),
                "variables.HTTP_X_USER",
                "a client can set",
            ),
            (
                json!({ "variables": { "HEADWATER_CONTEXT_USER": "user" } }),
                "variables.HEADWATER_CONTEXT_USER",
                "grant them in `get`",
            ),
            (
                json!({ "headers": { "x y": "user" } }),
                "headers.x y",
                "`x-user`",
            ),
            (
                json!({ "headers": { "x": "U" } }),
                "headers.x",
                "`U` is not",
            ),
            (
                json!({ "headers": { "Host": "user" } }),
                "headers.Host",
                "sets",
            ),
            (
                json!({ "headers": { "X-A": "user", "x-a": "tenant" } }),
                "headers.x-a",
                "another spelling",
            ),
            (
                json!({ "headers": { "traceparent": "user" } }),
                "headers.traceparent",
                "sets",
            ),
        ] {
            let error = read(&wrong).unwrap_err();
            assert_eq!(error.path(), path, "{wrong}");
            assert!(error.to_string().contains(said), "{wrong}: {error}");
        }
    }

    #[test]
    fn what_has_no_effect_on_a_guest_is_told() {
        let of = |value: Value| read(&value).unwrap();
        let set = of(json!({ "set": ["user"] }));
        let variables = of(json!({ "variables": { "A": "user" } }));
        assert_eq!(set.without_effect(true).unwrap().0, "set");
        assert!(set.without_effect(false).is_none());
        assert_eq!(variables.without_effect(false).unwrap().0, "variables");
        assert!(variables.without_effect(true).is_none());
    }

    #[test]
    fn a_call_of_an_unknown_request_or_in_doubt_is_never_for_any_request() {
        let (one, other) = (scope(), scope());
        for attribution in [
            Attribution::unknown(),
            Attribution::ambiguous(Witness::Stack),
            Attribution::either(one.clone(), other.clone(), Witness::Both),
            Attribution::doubtful(one.clone(), [other], Doubt::Woken),
        ] {
            assert_eq!(known(&attribution).unwrap_err(), Error::UnknownRequest);
        }
        let exact = Attribution::exact(one.clone(), Witness::Stack);
        assert!(Arc::ptr_eq(known(&exact).unwrap(), &one));
    }

    #[test]
    fn a_name_is_checked_before_its_grant() {
        let mut names = ContextNames::default();
        names.add("*").unwrap();
        assert_eq!(granted(&names, "User"), Err(Error::InvalidName));
        assert!(granted(&names, "user").is_ok());
        let nothing = ContextNames::default();
        assert_eq!(granted(&nothing, "user"), Err(Error::Denied));
    }
}
