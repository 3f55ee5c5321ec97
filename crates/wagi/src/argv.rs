use crate::settings::Compat;

/// Returns the module's arguments (as in WAGI 0.8.1: path and query undecoded, and a part with `=`
/// is an argument, too).
///
/// Without a template, they are the whole path, then the parts of the query between `&`. With a
/// template, `${SCRIPT_NAME}` is replaced by the path and `${ARGS}` by the query with spaces for
/// `&`, and the result is split at white space; there is no quoting.
///
/// The template is expanded once, so a path that contains the text `${ARGS}` stays as it is. WAGI
/// 0.8.1 expanded it, and strict mode does, too.
pub(crate) fn argv(
    compat: Compat,
    template: Option<&str>,
    path: &str,
    query: Option<&str>,
) -> Vec<String> {
    let Some(template) = template else {
        let parts = query.into_iter().flat_map(|query| query.split('&'));
        return std::iter::once(path)
            .chain(parts)
            .map(String::from)
            .collect();
    };
    let args = query.unwrap_or_default().replace('&', " ");
    let text = match compat {
        Compat::Strict => template.replace(SCRIPT_NAME, path).replace(ARGS, &args),
        Compat::Default | Compat::V0_2 => expand(template, path, &args),
    };
    text.split_whitespace().map(String::from).collect()
}

const SCRIPT_NAME: &str = "${SCRIPT_NAME}";
const ARGS: &str = "${ARGS}";

fn expand(template: &str, script_name: &str, args: &str) -> String {
    let mut text = String::with_capacity(template.len() + script_name.len() + args.len());
    let mut rest = template;
    while let Some(at) = rest.find("${") {
        text.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some(after) = rest.strip_prefix(SCRIPT_NAME) {
            text.push_str(script_name);
            rest = after;
        } else if let Some(after) = rest.strip_prefix(ARGS) {
            text.push_str(args);
            rest = after;
        } else {
            text.push_str("${");
            rest = &rest["${".len()..];
        }
    }
    text.push_str(rest);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Template, path, query, and the expected arguments.
    type Case = (
        Option<&'static str>,
        &'static str,
        Option<&'static str>,
        &'static [&'static str],
    );

    #[test]
    fn arguments() {
        let ruby = Some("ruby /env.rb ${SCRIPT_NAME} ${ARGS}");
        let table: &[Case] = &[
            (None, "/a/b", None, &["/a/b"]),
            (None, "/a", Some(""), &["/a", ""]),
            (None, "/a", Some("x=1&y"), &["/a", "x=1", "y"]),
            (None, "/a", Some("a&&b"), &["/a", "a", "", "b"]),
            (None, "/a%20b", Some("c%20d+e"), &["/a%20b", "c%20d+e"]),
            (
                ruby,
                "/",
                Some("p1=v1&p2=v2"),
                &["ruby", "/env.rb", "/", "p1=v1", "p2=v2"],
            ),
            (ruby, "/", None, &["ruby", "/env.rb", "/"]),
            (ruby, "/", Some("a&&b"), &["ruby", "/env.rb", "/", "a", "b"]),
            (Some("   "), "/", Some("a"), &[]),
            (Some("a${SCRIPT_NAME}b"), "/x", None, &["a/xb"]),
            (Some("${HOME} $ ${"), "/x", None, &["${HOME}", "$", "${"]),
            (
                Some("${SCRIPT_NAME}"),
                "/${ARGS}",
                Some("-e&code"),
                &["/${ARGS}"],
            ),
        ];
        for (template, path, query, expected) in table {
            for compat in [Compat::Default, Compat::Strict, Compat::V0_2] {
                if compat == Compat::Strict && path.contains(ARGS) {
                    continue;
                }
                assert_eq!(
                    argv(compat, *template, path, *query),
                    *expected,
                    "{template:?} {path} {query:?}"
                );
            }
        }
    }

    #[test]
    fn strictly_the_query_is_put_into_a_path_that_asks_for_it() {
        let template = Some("${SCRIPT_NAME}");
        assert_eq!(
            argv(Compat::Strict, template, "/${ARGS}", Some("-e&code")),
            ["/-e", "code"]
        );
    }
}
