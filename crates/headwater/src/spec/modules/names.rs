use std::collections::HashSet;

use headwater_config::modules::ModuleEntry;

/// A name for each module: its own, or that of its file; where two are the same, with a number.
pub(crate) fn names(entries: &[ModuleEntry]) -> Vec<String> {
    let mut taken = HashSet::new();
    let mut name = |entry: &ModuleEntry| {
        let wanted = entry.name.clone().unwrap_or_else(|| stem(&entry.module));
        let numbered = (2..).map(|nth| format!("{wanted}-{nth}"));
        let mut candidates = [wanted.clone()].into_iter().chain(numbered);
        // There always is one: the numbers do not end.
        let free = candidates.find(|name| taken.insert(name.clone()));
        free.unwrap_or_default()
    };
    entries.iter().map(&mut name).collect()
}

/// The last part of a path or reference, without its ending, tag or digest.
fn stem(module: &str) -> String {
    let last = module.rsplit(['/', '\\']).next().unwrap_or_default();
    let last = last.strip_prefix("oci:").unwrap_or(last);
    let end = last.find(['@', ':']).unwrap_or(last.len());
    let name = last[..end]
        .trim_end_matches(".wasm")
        .trim_end_matches(".wat");
    match name.is_empty() {
        true => "module".to_owned(),
        false => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use headwater_config::modules::ModulesFile;

    use super::*;

    #[test]
    fn modules_are_named_by_their_files_and_no_two_alike() {
        let text: String = [
            "a/hello.wasm",
            "hello.wat",
            "oci:example/shop:1.2",
            "oci:shop",
            "file:///x/y.gr.wasm",
            "/",
        ]
        .iter()
        .map(|module| format!("[[module]]\nroute = \"/\"\nmodule = \"{module}\"\n"))
        .collect();
        let text = format!("{text}[[module]]\nroute = \"/\"\nmodule = \"z\"\nname = \"shop\"\n");
        let file = ModulesFile::parse(&text).unwrap();
        assert_eq!(
            names(&file.modules),
            [
                "hello", "hello-2", "shop", "shop-2", "y.gr", "module", "shop-3"
            ]
        );
    }
}
