//! Finds settings that have no effect or make no sense, though each of them parsed. Each error
//! comes with the key that it is about.

use std::net::IpAddr;

use headwater_core::CONTEXT_VARIABLE;

use crate::service::{Guest, Service};
use crate::settings::group;
use crate::settings::{ClientAuthMode, ListenerSettings, PoolSettings, TlsSettings};
use crate::source_span::Source;

/// An error, and the key that it is about.
pub(crate) type Wrong = (String, String);

/// Keys for modules only.
const OF_MODULES: [&str; 4] = ["argv", "entrypoint", "compat", "response"];

/// Keys for components only, besides those of `PoolSettings`.
const OF_COMPONENTS: [&str; 2] = ["forbid_headers", "allow_headers"];

/// Returns what is wrong with an entry of a list: `service` or `middleware`.
pub(crate) fn of_service(
    service: &Service,
    list: &str,
    index: usize,
    source: &Source,
) -> Vec<Wrong> {
    let name = &service.name;
    let mut wrong = Vec::new();
    if name.trim().is_empty() {
        let why = format!("a {list} needs a name, for traces and logs: write one");
        wrong.push((why, "name".to_owned()));
    }
    let says = |key: &str| source.find(list, index, key).is_some();
    let (others, keys) = match service.guest_if_any() {
        Some(Guest::Component(_)) => ("modules", OF_MODULES.map(str::to_owned).to_vec()),
        Some(Guest::Module(_)) => {
            let pool = group::keys::<PoolSettings>();
            let keys = OF_COMPONENTS.into_iter().map(str::to_owned).chain(pool);
            ("components", keys.collect())
        }
        None => ("", Vec::new()),
    };
    for key in keys.into_iter().filter(|key| says(key)) {
        let why = format!(
            "{list} `{name}`: `{key}` is for {others}, and has no effect here: leave it out"
        );
        wrong.push((why, key));
    }
    let given = service.environment.iter();
    let given = given.map(|(variable, value)| ("environment", variable, Some(value)));
    let secret = service.secrets.keys();
    let secret = secret.map(|variable| ("secrets", variable, None));
    for (key, variable, value) in given.chain(secret) {
        let why = if variable.is_empty() || variable.contains(['=', '\0']) {
            "is not the name of a variable: write one without `=`"
        } else if variable.starts_with(CONTEXT_VARIABLE) {
            "would look like a value of the request's context, which it is not: name it otherwise"
        } else if value.is_some_and(|value| value.contains('\0')) {
            "has a value with a NUL character, which variables cannot hold: remove it"
        } else {
            continue;
        };
        let shown = variable.escape_debug();
        let why = format!("{list} `{name}`: `{shown}` in `{key}` {why}");
        wrong.push((why, format!("{key}.{variable}")));
    }
    wrong
}

pub(crate) fn of_listener(listener: &ListenerSettings) -> Vec<Wrong> {
    let mut wrong = Vec::new();
    let proxy = &listener.proxy;
    if proxy.proxy_protocol_from.is_some() && proxy.proxy_protocol.is_none() {
        let why = "`proxy_protocol_from` has no effect, because no connection begins with a PROXY header: \
                   add `proxy_protocol = \"required\"`";
        wrong.push((why.to_owned(), "proxy_protocol_from".to_owned()));
    }
    wrong.extend(listener.tls.iter().flat_map(of_tls));
    wrong
}

fn of_tls(tls: &TlsSettings) -> Vec<Wrong> {
    let mut wrong = Vec::new();
    if tls.certificates.is_empty() {
        let why = "there is no certificate: name at least one, with its key";
        wrong.push((why.to_owned(), "tls.certificates".to_owned()));
    }
    if tls.clients.asked() != ClientAuthMode::Off && tls.clients.client_ca.is_none() {
        let why = "client certificates are asked for, but no CA is named to verify them: write its file \
                   in `client_ca`";
        wrong.push((why.to_owned(), "tls.client_auth".to_owned()));
    }
    for (at, files) in tls.certificates.iter().enumerate() {
        let key = format!("tls.certificates.{at}.names");
        let names = files.names.as_deref();
        if names.is_some_and(<[String]>::is_empty) {
            let why = "the list is empty: write names, or leave `names` out to use those in the certificate";
            wrong.push((why.to_owned(), key.clone()));
        }
        for (at, name) in names.unwrap_or_default().iter().enumerate() {
            if !is_host_name(name) {
                let why = format!(
                    "`{name}` is not a host name that clients ask for: write `example.com`, or `*.example.com` for \
                     all names one label longer"
                );
                wrong.push((why, format!("{key}.{at}")));
            }
        }
    }
    wrong
}

/// Returns true if a client can ask for a server by this name (RFC 6066 3): in ASCII, with no port
/// and no dot at the end, and never an address. The first label may be `*`.
fn is_host_name(name: &str) -> bool {
    let rest = name.strip_prefix("*.").unwrap_or(name);
    let is_part = |character: char| character.is_ascii_alphanumeric() || "-_".contains(character);
    let is_label = |label: &str| (1..64).contains(&label.len()) && label.chars().all(is_part);
    name.len() < 254 && rest.split('.').all(is_label) && rest.parse::<IpAddr>().is_err()
}

#[cfg(test)]
mod tests {
    use crate::File;

    const LISTENER: &str = "[[answer]]\nroute = \"/\"\n[[listener]]\nlisten = \"127.0.0.1:1\"\n";

    fn told(text: &str) -> String {
        match File::parse(text) {
            Ok(_) => "good".to_owned(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn a_setting_without_an_effect_is_told_with_its_line_and_the_remedy() {
        let service = |kind: &str, key: &str| {
            told(&format!(
                "[[service]]\nname = \"a\"\nroute = \"/\"\n{kind} = \"x.wasm\"\n{key}\n"
            ))
        };
        for key in [
            "argv = \"x\"",
            "entrypoint = \"x\"",
            "compat = \"strict\"",
            "response = \"buffer\"",
        ] {
            let told = service("component", key);
            assert!(
                told.contains("line 5") && told.contains("is for modules"),
                "{told}"
            );
            assert_eq!(service("module", key), "good");
        }
        for key in [
            "retry = true",
            "serial = true",
            "min_idle = 1",
            "max_queue = 9",
            "idle_timeout = \"1s\"",
            "max_requests_per_instance = 5",
            "forbid_headers = [\"x\"]",
            "allow_headers = []",
        ] {
            let told = service("module", key);
            assert!(
                told.contains("line 5") && told.contains("is for components"),
                "{told}"
            );
            assert_eq!(service("component", key), "good");
        }
        let told = told(&format!(
            "{LISTENER}proxy_protocol_from = [\"10.0.0.0/8\"]\n"
        ));
        assert!(
            told.contains("line 5") && told.contains("proxy_protocol = \"required\""),
            "{told}"
        );
    }

    #[test]
    fn a_name_that_is_none_is_told_with_its_line() {
        let text = "[[service]]\nname = \"a\"\nroute = \"/\"\ncomponent = \"x.wasm\"\n";
        let named = told(&text.replace("\"a\"", "\" \""));
        assert!(
            named.contains("line 2") && named.contains("needs a name"),
            "{named}"
        );
        for (key, line, said) in [
            (
                "environment = { \"A=B\" = \"1\" }",
                "line 5, column 17",
                "`A=B` in `environment`",
            ),
            (
                "environment = { \"\" = \"1\" }",
                "line 5, column 17",
                "not the name of a variable",
            ),
            (
                "environment = { HEADWATER_CONTEXT_USER = \"ann\" }",
                "line 5, column 17",
                "a value of the request's context",
            ),
            (
                "environment = { A = \"a\\u0000\" }",
                "line 5, column 17",
                "a NUL character",
            ),
            (
                "secrets = { \"A=\" = { env = \"B\" } }",
                "line 5, column 13",
                "`A=` in `secrets`",
            ),
        ] {
            let told = told(&format!("{text}{key}\n"));
            assert!(told.contains(line) && told.contains(said), "{told}");
            // Messages must not show the values of variables.
            assert!(!told.contains("a\\u0000"), "{told}");
        }
    }

    #[test]
    fn names_of_certificates_are_those_that_clients_ask_for() {
        let tls = |said: &str| {
            let files = "certificate = \"c\", key = \"k\"";
            told(&format!(
                "{LISTENER}tls.certificates = [{{ {files}, names = {said} }}]\n"
            ))
        };
        assert_eq!(
            tls("[\"a.example\", \"*.b.example\", \"localhost\"]"),
            "good"
        );
        for wrong in [
            "[]",
            "[\"\"]",
            "[\"a b\"]",
            "[\"a:443\"]",
            "[\"10.0.0.1\"]",
            "[\"*\"]",
            "[\"a.*.b\"]",
            "[\"https://a\"]",
            "[\"a.example.\"]",
        ] {
            let told = tls(wrong);
            assert!(
                told.contains("line 5, column") && told.contains("write"),
                "{told}"
            );
        }
        let none = told(&format!("{LISTENER}tls.certificates = []\n"));
        assert!(
            none.contains("line 5") && none.contains("at least one"),
            "{none}"
        );
        let nobody = told(&format!(
            "{LISTENER}[listener.tls]\nclient_auth = \"required\"\n\
             certificates = [{{ certificate = \"c\", key = \"k\" }}]\n"
        ));
        assert!(
            nobody.contains("line 6") && nobody.contains("`client_ca`"),
            "{nobody}"
        );
    }
}
