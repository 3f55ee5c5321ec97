//! The routes of a host by path.

use std::collections::HashMap;
use std::fmt;

use matchit::Match;

use super::pattern::Pattern;

/// The routes of one host, by their indices.
#[derive(Default)]
pub(super) struct Tree {
    exact: matchit::Router<usize>,
    /// The prefixes by their number of segments, beginning with `/...`. (In one tree, matchit reports a
    /// conflict between a wildcard and a catch-all.)
    prefixes: Vec<matchit::Router<usize>>,
    /// The known shapes; exact patterns and prefixes are separate.
    shapes: HashMap<(bool, String), usize>,
}

// === impl Tree ===

impl Tree {
    /// Adds a pattern. Returns the index of a pattern that matches the same paths as an error.
    pub(super) fn insert(&mut self, pattern: &Pattern<'_>, index: usize) -> Result<(), usize> {
        let shape = (pattern.is_prefix, pattern.shape.clone());
        if let Some(before) = self.shapes.insert(shape, index) {
            return Err(before);
        }
        let tree = match pattern.depth() {
            None => &mut self.exact,
            Some(depth) => {
                if self.prefixes.len() <= depth {
                    self.prefixes.resize_with(depth + 1, Default::default);
                }
                &mut self.prefixes[depth]
            }
        };
        // Cannot conflict, because its shape is new.
        tree.insert(pattern.base, index).map_err(|_| index)
    }

    pub(super) fn find<'r, 'p>(&'r self, path: &'p str) -> Option<Match<'r, 'p, &'r usize>> {
        if let Ok(found) = self.exact.at(path) {
            return Some(found);
        }
        // `*` is a target, not a path.
        if self.prefixes.is_empty() || !path.starts_with('/') {
            return None;
        }
        let mut depth = path.bytes().filter(|byte| *byte == b'/').count();
        let mut rest = path;
        loop {
            let tree = self.prefixes.get(depth);
            if let Some(Ok(found)) = tree.map(|tree| tree.at(rest)) {
                return Some(found);
            }
            depth = depth.checked_sub(1)?;
            rest = &rest[..rest.rfind('/')?];
        }
    }
}

impl fmt::Debug for Tree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Tree").field(&self.shapes).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::super::Router;
    use super::*;
    use crate::routing::route::Route;
    use crate::testing::router;

    fn find<'a>(router: &'a Router, path: &str) -> Option<&'a Route> {
        router.find(&path.parse().ok()?)
    }

    #[test]
    fn the_longest_pattern_wins_and_an_exact_one_beats_a_prefix() {
        let router = router(&[
            "/...",
            "/a/...",
            "/a/b",
            "/a/b/c/...",
            "/exact",
            "/both",
            "/both/...",
            "/slash/",
            "/slash/...",
            "/odd{{name}}/...",
        ])
        .unwrap();
        for (path, pattern) in [
            ("/", "/..."),
            ("/x", "/..."),
            ("/x/y/", "/..."),
            ("//", "/..."),
            ("/a", "/a/..."),
            ("/a/", "/a/..."),
            ("/a//", "/a/..."),
            ("/a/x/y", "/a/..."),
            ("/ab", "/..."),
            ("/a/b", "/a/b"),
            ("/a/b/", "/a/..."),
            ("/a/bc", "/a/..."),
            ("/a/b/c", "/a/b/c/..."),
            ("/a/b/c/d", "/a/b/c/..."),
            ("/a/b/cd", "/a/..."),
            ("/exact", "/exact"),
            ("/exact/", "/..."),
            ("/exact/x", "/..."),
            ("/both", "/both"),
            ("/both/", "/both/..."),
            ("/slash", "/slash/..."),
            ("/slash/", "/slash/"),
            ("/slash/x", "/slash/..."),
            ("/odd{name}/x", "/odd{{name}}/..."),
            ("/oddx/x", "/..."),
        ] {
            let found = find(&router, path).map(|route| &*route.pattern);
            assert_eq!(found, Some(pattern), "{path}");
        }
    }

    #[test]
    fn the_raw_path_is_matched_and_nothing_is_decoded() {
        let router = router(&["/a/b", "/a%2Fb"]).unwrap();
        assert_eq!(&*find(&router, "/a%2Fb").unwrap().pattern, "/a%2Fb");
        for path in ["/a%2fb", "/a/./b", "/a//b", "/A/b", "*", "", "/a/%62"] {
            assert!(find(&router, path).is_none(), "{path}");
        }
    }

    /// Compares every pattern over a small alphabet and every path over it with the written rule: exact
    /// before prefix, longer before shorter, literal before wildcard.
    #[test]
    fn the_tree_finds_what_the_rule_says() {
        fn rank(pattern: &str, path: &str) -> Option<(bool, usize, Vec<bool>)> {
            let (base, is_prefix) = match pattern.strip_suffix("/...") {
                Some(base) => (base, true),
                None => (pattern, false),
            };
            let path: Vec<_> = path.split('/').skip(1).collect();
            let base: Vec<_> = base.split('/').skip(1).collect();
            let fits = match is_prefix {
                true => path.len() >= base.len(),
                false => path.len() == base.len(),
            };
            let literals: Option<Vec<_>> = base
                .iter()
                .zip(&path)
                .map(|(segment, text)| match segment.starts_with('{') {
                    true => (!text.is_empty()).then_some(false),
                    false => (segment == text).then_some(true),
                })
                .collect();
            Some((!is_prefix, base.len(), literals.filter(|_| fits)?))
        }

        let words = ["a", "ab", "{x}", ""];
        let mut bases = vec![String::new()];
        for length in 1..=3 {
            let longer: Vec<_> = bases
                .iter()
                .filter(|base| base.matches('/').count() == length - 1)
                .flat_map(|base| words.map(|word| format!("{base}/{word}")))
                .collect();
            bases.extend(longer);
        }
        let patterns: Vec<_> = bases
            .iter()
            .flat_map(|base| [base.clone(), format!("{base}/...")])
            .filter(|pattern| Pattern::parse(pattern).is_ok())
            .map(|pattern| {
                pattern
                    .replacen("{x}", "{x0}", 1)
                    .replacen("{x}", "{x1}", 1)
                    .replacen("{x}", "{x2}", 1)
            })
            .collect();
        let paths: Vec<_> = bases
            .iter()
            .filter(|base| !base.is_empty())
            .map(|base| base.replace("{x}", "b"))
            .collect();
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..2_000 {
            let many = random.usize(1..12);
            let mut chosen = random.choose_multiple(&patterns, many);
            chosen.sort();
            chosen.dedup();
            let chosen: Vec<_> = chosen.into_iter().map(String::as_str).collect();
            let router = router(&chosen).unwrap();
            for path in &paths {
                let expected = chosen
                    .iter()
                    .filter_map(|pattern| Some((rank(pattern, path)?, *pattern)))
                    .max();
                let found = find(&router, path).map(|route| &*route.pattern);
                assert_eq!(
                    found,
                    expected.map(|(_, pattern)| pattern),
                    "{path} of {chosen:?}"
                );
            }
        }
    }
}
