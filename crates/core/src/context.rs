//! The context of a request: named values that guests set for it, and that flow with it through a chain.
//!
//! Nothing that a client sends becomes a value. A guest sets and reads only what its operator granted.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use parking_lot::Mutex;

/// The most values that a request may have. They are copied into each WAGI module's environment, so there
/// should be few.
pub const MAX_CONTEXT_VALUES: usize = 32;

/// The most bytes of a value. A signed token fits, and so does a header field that carries it.
pub const MAX_CONTEXT_VALUE: usize = 4 << 10;

/// The most bytes of all values of a request together, names included: what most servers accept as the
/// header fields of a request.
pub const MAX_CONTEXT_BYTES: usize = 16 << 10;

/// The most bytes of a name.
pub const MAX_CONTEXT_NAME: usize = 64;

/// The beginning of the names of variables that hold values in the environment of a WAGI module.
pub const CONTEXT_VARIABLE: &str = "HEADWATER_CONTEXT_";

/// The name of a value: lower-case words with a hyphen between them, such as `user` or `tenant-id`.
///
/// Each name has a [variable](Self::variable) and a header field of its own.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContextName(Arc<str>);

/// The error for text that is not the name of a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not the name of a context value: write lower-case words of letters and digits with a hyphen \
     between them, the first with a letter in front, and at most {MAX_CONTEXT_NAME} bytes, such as `tenant-id`"
)]
pub struct ContextNameError(String);

/// Names of values, some of them by their beginning: `user`, `flag-*`, or `*` for all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ContextNames(Vec<NamePattern>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum NamePattern {
    One(ContextName),
    /// All names that begin so.
    Prefix(String),
}

/// The reason why a value cannot be set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ContextError {
    /// It has a control character, which neither a variable nor a header field can hold.
    #[error("a context value cannot have control characters")]
    ControlCharacter,
    /// It is too long, or all values together are.
    #[error(
        "a context value has at most {MAX_CONTEXT_VALUE} bytes, and all of a request {MAX_CONTEXT_BYTES}"
    )]
    TooLarge,
    /// There are too many.
    #[error("a request has at most {MAX_CONTEXT_VALUES} context values")]
    TooMany,
}

/// The values of one request.
#[derive(Default)]
pub struct RequestContext(Mutex<BTreeMap<ContextName, Value>>);

struct Value {
    text: Arc<str>,
    /// True if spans show it.
    traced: bool,
}

// === impl ContextName ===

impl ContextName {
    /// Returns the name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the name of the variable that holds the value in a WAGI module: the name in upper case, with
    /// `_` for `-`, after [`CONTEXT_VARIABLE`]. No two names have the same, because names have no `_`.
    #[must_use]
    pub fn variable(&self) -> String {
        let name = self.0.to_ascii_uppercase().replace('-', "_");
        format!("{CONTEXT_VARIABLE}{name}")
    }
}

impl FromStr for ContextName {
    type Err = ContextNameError;

    fn from_str(text: &str) -> Result<Self, ContextNameError> {
        let is_word = |word: &str| {
            !word.is_empty()
                && word
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
        };
        let is_name = text.len() <= MAX_CONTEXT_NAME
            && text.starts_with(|first: char| first.is_ascii_lowercase())
            && text.split('-').all(is_word);
        match is_name {
            true => Ok(Self(text.into())),
            // Shortened: a guest may have made it.
            false => Err(ContextNameError(
                text.chars().take(MAX_CONTEXT_NAME).collect(),
            )),
        }
    }
}

impl fmt::Display for ContextName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

// === impl ContextNames ===

impl ContextNames {
    /// Adds a name, or a beginning of names and `*`.
    ///
    /// # Errors
    ///
    /// Returns an error if it is neither.
    pub fn add(&mut self, pattern: &str) -> Result<(), ContextNameError> {
        self.0.push(match pattern.strip_suffix('*') {
            // What a name can begin with is a name, with a hyphen at its end or without.
            Some(prefix) => {
                let whole = prefix.strip_suffix('-').unwrap_or(prefix);
                if !prefix.is_empty() && whole.parse::<ContextName>().is_err() {
                    return Err(ContextNameError(pattern.to_owned()));
                }
                NamePattern::Prefix(prefix.to_owned())
            }
            None => NamePattern::One(pattern.parse()?),
        });
        Ok(())
    }

    /// Returns true if it names none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns true if this name is one of them.
    #[must_use]
    pub fn contains(&self, name: &ContextName) -> bool {
        self.0.iter().any(|pattern| match pattern {
            NamePattern::One(one) => one == name,
            NamePattern::Prefix(prefix) => name.0.starts_with(prefix.as_str()),
        })
    }

    /// Returns the names and beginnings, as they are written.
    pub fn iter(&self) -> impl Iterator<Item = String> {
        self.0.iter().map(|pattern| match pattern {
            NamePattern::One(one) => one.to_string(),
            NamePattern::Prefix(prefix) => format!("{prefix}*"),
        })
    }
}

// === impl RequestContext ===

impl RequestContext {
    /// Returns a value.
    #[must_use]
    pub fn get(&self, name: &ContextName) -> Option<Arc<str>> {
        let values = self.0.lock();
        values.get(name).map(|value| Arc::clone(&value.text))
    }

    /// Returns all values, in the order of their names.
    #[must_use]
    pub fn list(&self) -> Vec<(ContextName, Arc<str>)> {
        self.filtered(|_| true)
    }

    /// Returns the values that spans show, in the order of their names.
    #[must_use]
    pub fn traced(&self) -> Vec<(ContextName, Arc<str>)> {
        self.filtered(|value| value.traced)
    }

    fn filtered(&self, is_wanted: impl Fn(&Value) -> bool) -> Vec<(ContextName, Arc<str>)> {
        let values = self.0.lock();
        let wanted = values.iter().filter(|(_, value)| is_wanted(value));
        wanted
            .map(|(name, value)| (name.clone(), Arc::clone(&value.text)))
            .collect()
    }

    /// Sets a value in place of the one of this name. `traced` is true if spans shall show it.
    pub(crate) fn set(
        &self,
        name: &ContextName,
        text: &str,
        traced: bool,
    ) -> Result<(), ContextError> {
        if text.len() > MAX_CONTEXT_VALUE {
            return Err(ContextError::TooLarge);
        }
        if text.chars().any(char::is_control) {
            return Err(ContextError::ControlCharacter);
        }
        let mut values = self.0.lock();
        let others = values.iter().filter(|(other, _)| *other != name);
        let (mut count, mut bytes) = (0, name.0.len() + text.len());
        for (other, value) in others {
            count += 1;
            bytes += other.0.len() + value.text.len();
        }
        if count >= MAX_CONTEXT_VALUES {
            return Err(ContextError::TooMany);
        }
        if bytes > MAX_CONTEXT_BYTES {
            return Err(ContextError::TooLarge);
        }
        let text = text.into();
        values.insert(name.clone(), Value { text, traced });
        Ok(())
    }

    pub(crate) fn remove(&self, name: &ContextName) {
        self.0.lock().remove(name);
    }
}

/// Prints names only: values may be secrets.
impl fmt::Debug for RequestContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.lock().keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> ContextName {
        text.parse().unwrap()
    }

    #[test]
    fn a_name_is_words_with_hyphens_and_each_has_a_variable_of_its_own() {
        for (text, variable) in [
            ("user", "HEADWATER_CONTEXT_USER"),
            ("tenant-id", "HEADWATER_CONTEXT_TENANT_ID"),
            ("a-1-2", "HEADWATER_CONTEXT_A_1_2"),
        ] {
            assert_eq!(name(text).variable(), variable);
        }
        let long = "a".repeat(MAX_CONTEXT_NAME);
        name(&long);
        for wrong in [
            "",
            "-",
            "User",
            "tenant_id",
            "a.b",
            "1a",
            "-a",
            "a-",
            "a--b",
            "ä",
            "a b",
            "a=b",
            "a*",
            &format!("{long}a"),
        ] {
            let error = wrong.parse::<ContextName>().unwrap_err().to_string();
            assert!(error.contains("`tenant-id`"), "{error}");
        }
    }

    #[test]
    fn names_are_granted_one_by_one_or_by_their_beginning() {
        let mut names = ContextNames::default();
        for pattern in ["user", "flag-*"] {
            names.add(pattern).unwrap();
        }
        for (text, is_one) in [
            ("user", true),
            ("users", false),
            ("flag-beta", true),
            ("flag", false),
        ] {
            assert_eq!(names.contains(&name(text)), is_one, "{text}");
        }
        assert_eq!(names.iter().collect::<Vec<_>>(), ["user", "flag-*"]);
        let mut all = ContextNames::default();
        assert!(all.is_empty() && !all.contains(&name("user")));
        all.add("*").unwrap();
        assert!(all.contains(&name("user")));
        for wrong in ["", "User", "-*", "a--*", "*a", "a**"] {
            assert!(all.add(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn values_are_bounded_in_number_and_size_and_a_refused_one_changes_nothing() {
        let context = RequestContext::default();
        let set =
            |number: usize, text: &str| context.set(&name(&format!("n{number}")), text, false);
        for number in 0..MAX_CONTEXT_VALUES {
            set(number, "1").unwrap();
        }
        assert_eq!(set(99, "1"), Err(ContextError::TooMany));
        set(5, "another").unwrap();
        assert_eq!(context.get(&name("n5")).as_deref(), Some("another"));
        context.remove(&name("n0"));
        set(99, "1").unwrap();
        assert_eq!(context.list().len(), MAX_CONTEXT_VALUES);

        let large = "x".repeat(MAX_CONTEXT_VALUE);
        assert_eq!(set(5, &format!("{large}x")), Err(ContextError::TooLarge));
        for number in 1..=3 {
            set(number, &large).unwrap();
        }
        assert_eq!(set(4, &large), Err(ContextError::TooLarge));
        assert_eq!(context.get(&name("n4")).as_deref(), Some("1"));
        // In its place, it is no more than before.
        set(3, &large).unwrap();
        for control in ["a\nb", "\0", "\u{7f}", "\u{85}"] {
            assert_eq!(set(5, control), Err(ContextError::ControlCharacter));
        }
        assert_eq!(context.get(&name("n5")).as_deref(), Some("another"));
    }

    #[test]
    fn spans_show_only_what_they_may_and_debug_output_shows_no_value() {
        let context = RequestContext::default();
        context.set(&name("tenant"), "acme", true).unwrap();
        context.set(&name("token"), "s3cret", false).unwrap();
        let traced = context.traced();
        assert_eq!(traced.len(), 1);
        assert_eq!((&traced[0].0, &*traced[0].1), (&name("tenant"), "acme"));
        let debug = format!("{context:?}");
        assert!(
            debug.contains("token") && !debug.contains("s3cret"),
            "{debug}"
        );
        context.set(&name("tenant"), "acme", false).unwrap();
        assert!(context.traced().is_empty());
    }
}
