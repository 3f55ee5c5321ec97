//! Finds grants to services of this host, `http://NAME.internal`, that have no effect.

use headwater_egress::Grant;

use crate::diagnostics::{Diagnostic, Kind, Position};

/// Returns a warning if a grant is for a service that is none of these, or for a scheme or port
/// that does not exist within the host.
pub(crate) fn idle_grant(grant: &Grant, services: &[&str], place: Position) -> Option<Diagnostic> {
    let name = grant.internal_service()?;
    let is_it = |service: &&str| service.eq_ignore_ascii_case(name);
    // Names further below the domain belong to the network, unless a service has them.
    let is_there = services.iter().any(is_it);
    if name.contains('.') && !is_there {
        return None;
    }
    if is_there {
        let problem = grant.internal_problem()?;
        let message = format!("the grant `{grant}` has no effect: {problem}");
        let remedy = format!("write `http://{name}.internal`");
        return Some(Diagnostic::new(Kind::IdleGrant, place, message).with_remedy(remedy));
    }
    // Host names are case-insensitive.
    let names: Vec<_> = services.iter().map(|it| it.to_ascii_lowercase()).collect();
    let remedy = match headwater_config::nearest(name, names.iter().map(String::as_str)) {
        Some(near) => format!("did you mean `http://{near}.internal`?"),
        None if services.is_empty() => "leave it out".to_owned(),
        None => format!("the services are {}", services.join(", ")),
    };
    let message = format!("the grant `{grant}` is for a service that this host does not have");
    Some(Diagnostic::new(Kind::NoSuchService, place, message).with_remedy(remedy))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remedy(grant: &str, services: &[&str]) -> Option<String> {
        let grant = grant.parse().unwrap();
        idle_grant(&grant, services, Position::default())?.remedy
    }

    #[test]
    fn a_grant_by_which_nothing_can_be_called_is_told_with_what_can() {
        let services = ["Shop", "stock", "a.b"];
        for (grant, expected) in [
            ("http://shopp.internal", "`http://shop.internal`"),
            ("stok.internal:80", "`http://stock.internal`"),
            ("https://else.internal", "the services are Shop, stock, a.b"),
            ("https://shop.internal", "write `http://shop.internal`"),
            ("stock.internal:8080", "write `http://stock.internal`"),
            ("http://a.b.internal:81", "write `http://a.b.internal`"),
        ] {
            let told = remedy(grant, &services).unwrap();
            assert!(told.contains(expected), "{grant}: {told}");
        }
        for grant in [
            "http://shop.internal",
            "STOCK.internal.",
            "a.b.internal",
            "db.corp.internal",
            "*.internal",
            "internal",
            "https://stock.example",
            "*",
            "127.0.0.1",
        ] {
            assert_eq!(remedy(grant, &services), None, "{grant}");
        }
        assert_eq!(remedy("x.internal", &[]).unwrap(), "leave it out");
    }
}
