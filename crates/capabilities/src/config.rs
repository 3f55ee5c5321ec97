//! `wasi:config/store`: values that the operator gives to a guest, by name.
//!
//! Guests are built against two drafts with the same functions: `0.2.0-rc.1` (wasmtime, wasmCloud) and
//! `0.2.0-draft-2024-09-27` (Spin). Both are offered.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use headwater_config::SecretSource;
use headwater_runtime::GuestState;
use headwater_runtime::capability::{
    Capability, Explained, Flag, GrantError, ServiceContext, Value, count,
};
use serde::Deserialize;
use wasmtime::StoreContextMut;
use wasmtime::component::{ComponentType, Lift, Linker, Lower};

/// The interface's name in the metrics. Calls are only counted: a read is a map lookup without
/// effects and takes less time than a span, so it is not worth attributing to a request. Guests
/// also read while they are being set up, for no request.
const NAME: &str = "wasi:config/store";

const INTERFACES: [&str; 2] = [
    "wasi:config/store@0.2.0-rc.1",
    "wasi:config/store@0.2.0-draft-2024-09-27",
];

/// The capability `wasi:config/store`. A service has the values of its key `config`, or none
/// without that key.
#[derive(Debug, Clone, Copy)]
pub struct ConfigStore;

/// The values of a service.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ConfigValues {
    values: BTreeMap<String, String>,
    /// The files that values were read from.
    files: Vec<PathBuf>,
}

/// The interface's errors. Values are read when the service is loaded, so a guest never gets one.
#[derive(ComponentType, Lift, Lower)]
#[component(variant)]
enum Error {
    #[component(name = "upstream")]
    Upstream(String),
    #[component(name = "io")]
    Io(String),
}

/// Prints names only: values may be secrets.
impl fmt::Debug for ConfigValues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.values.keys()).finish()
    }
}

type Pairs = Vec<(String, String)>;

impl FromIterator<(String, String)> for ConfigValues {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(values: I) -> Self {
        Self {
            values: values.into_iter().collect(),
            files: Vec::new(),
        }
    }
}

impl Capability for ConfigStore {
    type Grant = ConfigValues;
    type Service = BTreeMap<String, String>;
    type Instance = Arc<BTreeMap<String, String>>;

    fn interfaces(&self) -> &'static [&'static str] {
        &INTERFACES
    }

    fn link(&self, linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
        for interface in INTERFACES {
            let mut store = linker.instance(interface)?;
            store.func_wrap("get", get)?;
            store.func_wrap("get-all", get_all)?;
        }
        Ok(())
    }

    fn key(&self) -> Option<&'static str> {
        Some("config")
    }

    fn about(&self) -> &'static str {
        "Values that the guest reads by `wasi:config/store`: text, or where the text is read from, \
         as in `secrets`. Default: none. Components only."
    }

    fn schema(&self) -> Value {
        serde_json::json!({
            "type": "object",
            "additionalProperties": {
                "anyOf": [
                    { "type": "string" },
                    { "$ref": "#/definitions/SecretSource" },
                ],
            },
        })
    }

    fn flag(&self) -> Option<Flag> {
        Some(Flag {
            long: "config-value",
            value_name: "NAME=VALUE",
            help: "Give the guest a value that it reads by `wasi:config/store`; may be given several times",
        })
    }

    fn read(&self, value: &Value, folder: &Path) -> Result<ConfigValues, GrantError> {
        let table = value.as_object().ok_or_else(|| {
            GrantError::new("expected a table: write it in braces, as in `{ name = \"value\" }`")
        })?;
        let mut read = ConfigValues::default();
        for (name, value) in table {
            let value = match value {
                Value::String(text) => text.clone(),
                source => read
                    .read_elsewhere(name, source, folder)
                    .map_err(|error| error.at(name))?,
            };
            read.values.insert(name.clone(), value);
        }
        Ok(read)
    }

    fn read_flag(&self, values: &[String]) -> Result<ConfigValues, GrantError> {
        let pair = |value: &String| match value.split_once('=') {
            Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
            _ => Err(GrantError::new("write NAME=VALUE")),
        };
        values.iter().map(pair).collect()
    }

    /// Shows names only: values may be secrets.
    fn explain(&self, grant: &ConfigValues) -> Vec<Explained> {
        match grant.values.is_empty() {
            true => Vec::new(),
            false => vec![Explained::list("config", grant.values.keys())],
        }
    }

    fn files(&self, grant: &ConfigValues) -> Vec<PathBuf> {
        grant.files.clone()
    }

    fn start(&self, grant: &ConfigValues, _service: &ServiceContext) -> BTreeMap<String, String> {
        grant.values.clone()
    }

    fn instance(&self, values: &Arc<BTreeMap<String, String>>) -> Arc<BTreeMap<String, String>> {
        values.clone()
    }
}

impl ConfigValues {
    /// Reads a value from a file or an environment variable of the host.
    fn read_elsewhere(
        &mut self,
        name: &str,
        source: &Value,
        folder: &Path,
    ) -> Result<String, GrantError> {
        let mut source = SecretSource::deserialize(source).map_err(|_not_a_source| {
            GrantError::new(
                "expected text, or where it is read from: `{ file = \"PATH\" }` or `{ env = \
                 \"VARIABLE\" }`",
            )
        })?;
        source.within(folder);
        let secret = source
            .read(name)
            .map_err(|error| GrantError::new(error.to_string()))?;
        self.files.extend(source.file().map(Path::to_owned));
        Ok(secret.reveal().to_owned())
    }
}

fn get(
    mut store: StoreContextMut<'_, GuestState>,
    (name,): (String,),
) -> wasmtime::Result<(Result<Option<String>, Error>,)> {
    count(store.data(), NAME, "get");
    let values = store.data_mut().capability::<ConfigStore>()?;
    Ok((Ok(values.get(&name).cloned()),))
}

fn get_all(
    mut store: StoreContextMut<'_, GuestState>,
    (): (),
) -> wasmtime::Result<(Result<Pairs, Error>,)> {
    count(store.data(), NAME, "get-all");
    let values = store.data_mut().capability::<ConfigStore>()?;
    let pairs = values
        .iter()
        .map(|(name, value)| (name.clone(), value.clone()));
    Ok((Ok(pairs.collect()),))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(value: &Value) -> Result<ConfigValues, GrantError> {
        ConfigStore.read(value, Path::new("/no/such"))
    }

    #[test]
    fn a_value_is_text_or_where_text_is_read_from() {
        let values = read(&json!({ "a": "1", "path": { "env": "PATH" } })).unwrap();
        assert_eq!(values.values["a"], "1");
        assert_eq!(values.values["path"], std::env::var("PATH").unwrap());
        for (wrong, path, said) in [
            (json!(5), "", "expected a table"),
            (json!({ "a": 5 }), "a", "expected text"),
            (json!({ "a": { "fil": "x" } }), "a", "expected text"),
            (json!({ "a": { "file": "x" } }), "a", "/no/such/x"),
        ] {
            let error = read(&wrong).unwrap_err();
            assert_eq!(error.path(), path, "{wrong}");
            assert!(error.to_string().contains(said), "{error}");
        }
    }

    #[test]
    fn only_names_are_shown() {
        let values = ConfigStore
            .read_flag(&["b=secret".to_owned(), "a=".to_owned()])
            .unwrap();
        assert_eq!(
            ConfigStore.explain(&values),
            [Explained::list("config", ["a", "b"])]
        );
        assert!(ConfigStore.read_flag(&["=x".to_owned()]).is_err());
    }
}
