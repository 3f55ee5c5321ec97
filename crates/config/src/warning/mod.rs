//! Warnings about settings that work, but probably not as intended.

mod expansion;
mod star;

use crate::file::File;
use crate::modules::ModuleEntry;
use crate::route::RouteConfigs;
use crate::source_span::{Location, Source};

/// A warning about a setting that works, but probably not as intended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// The kind of the warning.
    pub kind: WarningKind,
    /// The place in the file.
    pub location: Location,
    /// The effect of the setting.
    pub message: String,
    /// The text to write instead.
    pub remedy: String,
}

/// The kind of a warning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WarningKind {
    /// A route has a `*`, which is not a wildcard.
    LiteralStar,
    /// A value names a variable, which is not expanded.
    NotExpanded,
}

/// Returns the warnings of a `headwater.toml`, in the order of the text.
pub(crate) fn of_file(file: &File) -> Vec<Warning> {
    let source = file.source();
    let services = file.service.iter().map(|it| ("service", &it.route));
    let redirects = file.redirect.iter().map(|it| ("redirect", &it.route));
    let answers = file.answer.iter().map(|it| ("answer", &it.route));
    let services = services.enumerate().chain(redirects.enumerate());
    let routes = services.chain(answers.enumerate());
    let stars = routes.flat_map(|(index, (list, places))| of_routes(list, index, places, source));
    let mut warnings: Vec<_> = stars.chain(expansion::find(source)).collect();
    in_order(&mut warnings);
    warnings
}

/// Returns the warnings of a `modules.toml`, in the order of the text.
pub(crate) fn of_modules(modules: &[ModuleEntry], source: &Source) -> Vec<Warning> {
    let routes = modules.iter().enumerate();
    let stars = routes.filter_map(|(index, module)| {
        let location = source.place("module", index, "route")?;
        star::of_module(&module.route, location)
    });
    let mut warnings: Vec<_> = stars.chain(expansion::find(source)).collect();
    in_order(&mut warnings);
    warnings
}

/// Leaves out `files`: their routes without `...` are errors.
fn of_routes(list: &str, index: usize, places: &RouteConfigs, source: &Source) -> Vec<Warning> {
    let routes = places.all().into_iter().enumerate();
    let warnings = routes.filter_map(|(at, place)| {
        let key = match places {
            RouteConfigs::One(_) => "route".to_owned(),
            RouteConfigs::Several(_) => format!("route.{at}"),
        };
        star::of_route(&place.path, source.place(list, index, &key)?)
    });
    warnings.collect()
}

fn in_order(warnings: &mut [Warning]) {
    warnings.sort_by_key(|warning| (warning.location.line, warning.location.column));
}

#[cfg(test)]
mod tests {
    use crate::File;
    use crate::modules::ModulesFile;

    #[test]
    fn what_is_not_meant_so_is_told_in_the_order_of_the_file() {
        let text = "[[service]]\nname = \"a\"\ncomponent = \"${DIR}/a.wasm\"\n\
                    route = [\"/a/...\", { path = \"/b/*\" }]\n\
                    environment = { HOME = \"${HOME}\" }\n\
                    [[answer]]\nroute = \"/*\"\nbody = \"`${literal}`\"\n";
        let warnings = File::parse(text).unwrap().warnings();
        let places: Vec<_> = warnings
            .iter()
            .map(|warning| warning.location.to_string())
            .collect();
        assert_eq!(
            places,
            [
                "line 3, column 1: component = \"${DIR}/a.wasm\"",
                "line 4, column 20: { path = \"/b/*\" }",
                "line 5, column 17: environment.HOME = …",
                "line 7, column 1: route = \"/*\"",
            ]
        );
    }

    #[test]
    fn what_a_modules_toml_means_otherwise_is_told_too() {
        let text = "[[module]]\nroute = \"/a/*\"\nmodule = \"a\"\nargv = \"x ${ARGS}\"\n\
                    volumes = { \"/\" = \"$HOME/x\" }\n[[module]]\nroute = \"/b/...\"\nmodule = \"b\"\n";
        let warnings = ModulesFile::parse(text).unwrap().warnings();
        let lines: Vec<_> = warnings
            .iter()
            .map(|warning| warning.location.line)
            .collect();
        assert_eq!(lines, [2, 5]);
    }
}
