//! Checks the lists of middlewares of a file.

use crate::file::File;
use crate::route::{OneRoute, RouteConfigs};
use crate::suggestion::nearest;

/// The most middlewares that requests may pass through.
pub(crate) const MAX_MIDDLEWARES: usize = 16;

/// A list of middlewares, and its place in the file.
struct Named<'a> {
    /// The list of entries that it is in, and the index there. None for `[defaults]`.
    entry: Option<(&'static str, usize)>,
    key: String,
    names: &'a [String],
}

/// An error in a list of middlewares.
pub(crate) struct Wrong {
    /// The list of entries that it is in, and the index there. None for `[defaults]`.
    pub(crate) entry: Option<(&'static str, usize)>,
    pub(crate) key: String,
    pub(crate) why: String,
}

/// Returns the lists that name unknown middlewares or too many. `is_whole` is false if a middleware could
/// not be read: then it may be the one that is named.
pub(crate) fn check(file: &File, is_whole: bool) -> Vec<Wrong> {
    let known: Vec<&str> = file.middleware.iter().map(|it| &*it.name).collect();
    let mut wrong = Vec::new();
    for Named { entry, key, names } in lists(file) {
        let mut is = |key: String, why: String| wrong.push(Wrong { entry, key, why });
        if names.len() > MAX_MIDDLEWARES {
            let why = format!(
                "{} middlewares are more than a request may pass through, which is {MAX_MIDDLEWARES}: leave \
                 some out",
                names.len()
            );
            is(key.clone(), why);
        }
        for (at, name) in names.iter().enumerate() {
            if known.contains(&&**name) || !is_whole {
                continue;
            }
            let services = file.service.iter();
            let remedy = match nearest(name, known.iter().copied()) {
                _ if services.into_iter().any(|it| it.name == *name) => {
                    "that is a service: only a `[[middleware]]` can stand in front of others"
                        .to_owned()
                }
                Some(near) => format!("did you mean `{near}`?"),
                None if known.is_empty() => "add a `[[middleware]]` with that name".to_owned(),
                None => format!("the middlewares are {}", known.join(", ")),
            };
            let why = format!("there is no middleware named `{name}`: {remedy}");
            is(format!("{key}.{at}"), why);
        }
    }
    for (index, entry) in file.middleware.iter().enumerate() {
        if entry.settings.middleware.is_some() {
            let why = format!(
                "middleware `{}`: a middleware stands in front of services, and nothing in front of it: name it \
                 in the list of a service, before or after others",
                entry.name
            );
            wrong.push(Wrong {
                entry: Some(("middleware", index)),
                key: "middleware".to_owned(),
                why,
            });
        }
    }
    wrong
}

/// Returns all lists of a file.
fn lists(file: &File) -> Vec<Named<'_>> {
    let redirects = file.redirect.iter().map(|it| (&it.route, &it.middleware));
    let answers = file.answer.iter().map(|it| (&it.route, &it.middleware));
    let files = file.files.iter().map(|it| (&it.route, &it.middleware));
    let services = file.service.iter();
    let services = services.map(|it| (&it.route, &it.settings.middleware));
    let entries = [
        ("service", services.collect::<Vec<_>>()),
        ("redirect", redirects.collect()),
        ("answer", answers.collect()),
        ("files", files.collect()),
    ];
    let defaults = file.defaults.middleware.as_ref().map(|names| Named {
        entry: None,
        key: "middleware".to_owned(),
        names,
    });
    let mut lists: Vec<_> = defaults.into_iter().collect();
    for (list, entries) in entries {
        for (index, (routes, names)) in entries.into_iter().enumerate() {
            let entry = Some((list, index));
            let own = names.as_ref().map(|names| ("middleware".to_owned(), names));
            let own = own.into_iter().chain(of_routes(routes));
            lists.extend(own.map(|(key, names)| Named { entry, key, names }));
        }
    }
    lists
}

fn of_routes(routes: &RouteConfigs) -> Vec<(String, &Vec<String>)> {
    fn of(key: String, route: &OneRoute) -> Option<(String, &Vec<String>)> {
        match route {
            OneRoute::Table(route) => {
                Some((format!("{key}.middleware"), route.middleware.as_ref()?))
            }
            OneRoute::Path(_) => None,
        }
    }
    match routes {
        RouteConfigs::One(one) => of("route".to_owned(), one).into_iter().collect(),
        RouteConfigs::Several(several) => {
            let several = several.iter().enumerate();
            several
                .filter_map(|(at, route)| of(format!("route.{at}"), route))
                .collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AUTH: &str = "[[middleware]]\nname = \"auth\"\ncomponent = \"a.wasm\"\n";

    fn told(text: &str) -> String {
        match File::parse(&format!("{AUTH}{text}")) {
            Ok(_) => "good".to_owned(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn a_list_names_middlewares_of_the_file_wherever_it_is() {
        let service = "[[service]]\nname = \"shop\"\ncomponent = \"s.wasm\"\n";
        let route = "route = \"/\"\n";
        for (text, place, said) in [
            (
                format!("{service}{route}middleware = [\"auth\", \"auth\"]"),
                "good",
                "",
            ),
            (format!("{service}{route}middleware = []"), "good", ""),
            (
                format!("{service}{route}middleware = [\"auth\", \"auht\"]"),
                "line 8, column 23",
                "did you mean `auth`?",
            ),
            (
                format!("{service}{route}middleware = [\"shop\"]"),
                "line 8, column 15",
                "that is a service",
            ),
            (
                format!("{service}route = {{ path = \"/\", middleware = [\"trace\"] }}"),
                "line 7, column 37",
                "the middlewares are auth",
            ),
            (
                format!("{service}route = [\"/\", {{ path = \"/x\", middleware = [\"x\"] }}]"),
                "line 7, column 44",
                "no middleware named `x`",
            ),
            (
                "[[files]]\nroute = \"/...\"\ndirectory = \"d\"\nmiddleware = [\"x\"]".to_owned(),
                "line 7, column 15",
                "no middleware named `x`",
            ),
            (
                format!("[[redirect]]\n{route}to = \"/x\"\nmiddleware = [\"x\"]"),
                "line 7, column 15",
                "no middleware named `x`",
            ),
            (
                format!("[[answer]]\n{route}middleware = [\"x\"]"),
                "line 6, column 15",
                "no middleware named `x`",
            ),
            (
                format!("[[answer]]\n{route}[defaults]\nmiddleware = [\"x\"]"),
                "line 7, column 15",
                "no middleware named `x`",
            ),
        ] {
            let told = told(&text);
            assert!(
                told.contains(place) && told.contains(said),
                "{text}\n{told}"
            );
        }
    }

    #[test]
    fn a_chain_has_sixteen_middlewares_at_most() {
        let service = "[[service]]\nname = \"shop\"\ncomponent = \"s.wasm\"\nroute = \"/\"\n";
        let names = |many| vec!["\"auth\""; many].join(", ");
        let list = |many| told(&format!("{service}middleware = [{}]", names(many)));
        assert_eq!(list(16), "good");
        let long = list(17);
        assert!(
            long.contains("line 8") && long.contains("17 middlewares"),
            "{long}"
        );
    }

    #[test]
    fn a_middleware_has_a_name_of_its_own_and_nothing_in_front_of_it() {
        let answer = "[[answer]]\nroute = \"/\"\n";
        for (text, said) in [
            (format!("{answer}{AUTH}"), "two middlewares named `auth`"),
            (
                "[[service]]\nname = \"auth\"\ncomponent = \"s.wasm\"\nroute = \"/\"\n".to_owned(),
                "a service and a middleware named `auth`",
            ),
            (
                format!("middleware = [\"auth\"]\n{answer}"),
                "nothing in front of it",
            ),
            (
                format!("serial = true\nmax_concurrent_per_instance = 2\n{answer}"),
                "middleware `auth`",
            ),
            (
                format!("environment = {{ \"A=\" = \"x\" }}\n{answer}"),
                "middleware `auth`",
            ),
            (format!("max_body = \"1KiB\"\n{answer}"), "max_body"),
        ] {
            let told = told(&text);
            assert!(told.contains(said), "{text}\n{told}");
        }
    }

    #[test]
    fn a_middleware_that_could_not_be_read_is_not_missed_as_well() {
        let text = "[[middleware]]\nname = \"auth\"\nfail = \"never\"\n[[answer]]\nroute = \"/\"\n\
                    middleware = [\"auth\"]\n";
        let told = File::parse(text).unwrap_err().to_string();
        assert!(!told.contains("no middleware named"), "{told}");
    }
}
