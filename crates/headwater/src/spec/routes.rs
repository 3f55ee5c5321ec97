//! Checks that the routes of a file can be served together. This happens before guests are loaded,
//! while the place of each route is known.

use std::sync::Arc;

use anyhow::{Result, ensure};
use headwater_config::{File, RouteConfig, RouteConfigs};
use headwater_core::Handler;
use headwater_server::{Fixed, Route, Router};
use http::{HeaderMap, StatusCode};

use crate::build::running_service::host;
use crate::diagnostics::{Diagnostic, Diagnostics, EntryDiagnostics, Kind};
use crate::spec::config_location::{AtKey, ConfigLocations};

struct Placed {
    route: Route,
    what: String,
    list: &'static str,
    index: usize,
    key: String,
}

/// Reports malformed routes, and of two routes for the same paths of the same host the later one.
pub(super) fn check(file: &File, locations: &ConfigLocations, found: &mut Diagnostics) {
    let nothing = Arc::new(Fixed {
        status: StatusCode::OK,
        headers: HeaderMap::new(),
        body: Vec::new().into(),
    });
    let services = file.service.iter();
    let redirects = file.redirect.iter();
    let answers = file.answer.iter();
    let files = file.files.iter();
    let services = services.map(|it| ("service", &*it.name, &it.route));
    let redirects = redirects.map(|it| ("redirect", "redirect", &it.route));
    let answers = answers.map(|it| ("answer", "answer", &it.route));
    let files = files.map(|it| ("files", "files", &it.route));

    let mut all = Vec::new();
    let counted = services.enumerate().chain(redirects.enumerate());
    let counted = counted.chain(answers.enumerate()).chain(files.enumerate());
    for (index, (list, name, places)) in counted {
        let what = match list {
            "service" => format!("service `{name}`"),
            list => format!("`[[{list}]]`"),
        };
        let mut found = found.entry(locations, &what, list, index);
        for (at, place) in places.all().iter().enumerate() {
            let key = match places {
                RouteConfigs::One(_) => "route".to_owned(),
                RouteConfigs::Several(_) => format!("route.{at}"),
            };
            let route = route(place, &key, name, &nothing, list == "files", &mut found);
            all.extend(route.map(|route| Placed {
                route,
                what: what.clone(),
                list,
                index,
                key,
            }));
        }
    }
    while let Some((later, diagnostic)) = conflict(&all, locations) {
        found.error(diagnostic);
        all.remove(later);
    }
}

/// Returns a route that is valid by itself, or reports its errors.
fn route(
    place: &RouteConfig,
    key: &str,
    name: &str,
    handler: &Arc<Fixed>,
    is_below: bool,
    found: &mut EntryDiagnostics<'_>,
) -> Option<Route> {
    let form = found.keep(form(&place.path, is_below).at(key));
    let handler: Arc<dyn Handler> = handler.clone();
    let mut route = Route::new(&*place.path, name, handler);
    let hosts = place.hosts.iter().enumerate();
    let hosts = hosts.map(|(at, name)| host(name).at(format!("{key}.hosts.{at}")));
    route.hosts = found.keep_all(hosts.collect())?;
    form?;
    found.keep(Router::new([route.clone()]).at(key))?;
    Some(route)
}

/// Rejects paths that the router accepts but that mean something unexpected.
fn form(path: &str, is_below: bool) -> Result<()> {
    let dots = path.strip_suffix("...");
    if let Some(name) = dots.filter(|path| !path.ends_with('/')) {
        let name = name.trim_end_matches('.');
        anyhow::bail!(
            "the dots at the end of the route \"{path}\" are not a wildcard: write \"{name}/...\" for \
             \"{name}\" and all below it"
        );
    }
    ensure!(
        !is_below || dots.is_some(),
        "the route \"{path}\" is a single path, but files need all paths below one: write \"{}/...\"",
        path.trim_end_matches(['/', '*'])
    );
    Ok(())
}

/// Returns the first route that conflicts with an earlier one, and the error: its place, and the
/// place of the other.
fn conflict(all: &[Placed], locations: &ConfigLocations) -> Option<(usize, Diagnostic)> {
    let router = |routes: &mut dyn Iterator<Item = &Placed>| {
        let routes: Vec<_> = routes.map(|placed| placed.route.clone()).collect();
        Router::new(routes).map(drop)
    };
    if router(&mut all.iter()).is_ok() {
        return None;
    }
    // The last route of the shortest conflicting prefix is the one that conflicts.
    let fails = |count: &usize| router(&mut all[..*count].iter()).is_err();
    let counts: Vec<_> = (0..=all.len()).collect();
    let later = counts.partition_point(|count| !fails(count)) - 1;
    let goes = |earlier: &&Placed| router(&mut [*earlier, &all[later]].into_iter()).is_ok();
    let earlier = all[..later].iter().find(|placed| !goes(placed));
    let place = |of: &Placed| locations.entry(&of.what, of.list, of.index, &of.key);
    let error = router(&mut all[..=later].iter()).err();
    let error = error.map_or_else(|| anyhow::anyhow!("a route is given twice"), Into::into);
    let error = match earlier {
        Some(first) => anyhow::anyhow!("{error} (the other is {})", place(first)),
        None => error,
    };
    let diagnostic = Diagnostic::of(Kind::Setting, place(&all[later]), &error);
    Some((later, diagnostic))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn all_wrong(routes: &str) -> Vec<String> {
        let file = File::parse(routes).unwrap();
        let locations = ConfigLocations::new(Path::new("h.toml"), file.source());
        let mut found = Diagnostics::default();
        check(&file, &locations, &mut found);
        found.errors.iter().map(ToString::to_string).collect()
    }

    fn wrong(routes: &str) -> String {
        match &all_wrong(routes)[..] {
            [one] => one.clone(),
            all => panic!("{all:?}"),
        }
    }

    #[test]
    fn a_route_that_cannot_be_served_is_told_with_its_place() {
        let answer =
            |route: &str| format!("[[answer]]\nroute = \"/ok\"\n[[answer]]\nroute = {route}\n");
        for (route, place, expected) in [
            (
                "\"a\"",
                "line 4, column 1: route = \"a\"",
                "begin with \"/\"",
            ),
            ("\"/a...\"", "line 4, column 1", "write \"/a/...\""),
            (
                "[\"/b\", \"/{}\"]",
                "line 4, column 16: \"/{}\"",
                "wildcard",
            ),
            (
                "[\"/b\", { path = \"/c\", hosts = [\"a\", \"x y\"] }]",
                "line 4, column 45: \"x y\"",
                "not a host",
            ),
            (
                "[\"/b\", \"/ok\"]",
                "line 4, column 16: \"/ok\"",
                "the other is in `h.toml`, `[[answer]]` (line 2, column 1: route = \"/ok\")",
            ),
        ] {
            let told = wrong(&answer(route));
            assert!(told.starts_with("in `h.toml`, `[[answer]]` ("), "{told}");
            assert!(told.contains(place) && told.contains(expected), "{told}");
        }
        for route in ["/f", "/f/", "/f/*"] {
            let told = wrong(&format!(
                "[[files]]\nroute = \"{route}\"\ndirectory = \"d\"\n"
            ));
            assert!(
                told.contains("line 2") && told.contains("write \"/f/...\""),
                "{told}"
            );
        }
    }

    #[test]
    fn of_many_routes_the_one_is_told_that_is_too_much() {
        let mut text = String::new();
        for number in 0..40 {
            text += &format!("[[answer]]\nroute = \"/{}\"\n", number % 33);
        }
        let all = all_wrong(&text);
        assert_eq!(all.len(), 7, "{all:#?}");
        let told = &all[0];
        assert!(
            told.contains("(line 68, column 1: route = \"/0\")"),
            "{told}"
        );
        assert!(
            told.contains("(line 2, column 1: route = \"/0\")"),
            "{told}"
        );
    }
}
