//! The tests of WAGI's dispatcher and server, under their names, against this host. Tests of single
//! parts are beside those parts.

use std::collections::HashMap;

use anyhow::{Context, Result, ensure};
use headwater_tests::{Answer, Client, Host, Modules};

/// The module and variables that answer at a path.
struct Described {
    who: String,
    variables: HashMap<String, String>,
}

async fn get(host: &Host, path: &str) -> Result<Answer> {
    Client::new().get(&format!("{}{path}", host.url())).await
}

async fn described(host: &Host, path: &str) -> Result<Described> {
    let answer = get(host, path).await?;
    ensure!(answer.status == 200, "{path}: {}", answer.text());
    let text = answer.text();
    let (who, variables) = text.split_once('\n').context("no first line")?;
    let variables = variables
        .lines()
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    Ok(Described {
        who: who.to_owned(),
        variables,
    })
}

impl Described {
    fn holds(&self, who: &str, expected: &[(&str, &str)]) -> Result<()> {
        ensure!(self.who == who, "{}", self.who);
        for (name, value) in expected {
            let found = self.variables.get(*name).map(String::as_str);
            ensure!(found == Some(*value), "{name} is {found:?}, not {value:?}");
        }
        Ok(())
    }
}

const MAIN: &str = "This is the main entry point";
const EXACT: &str = "This is the .../exact handler";
const WILDCARD: &str = "This is the .../wildcard/... handler";

/// Serves one module at one route, without its `_routes`.
async fn at(route: &str) -> Result<(Modules, Host)> {
    let modules = Modules::new()?.guest(route, "wagi-rust", "")?;
    let host = Host::wagi(modules.write()?).start().await?;
    Ok((modules, host))
}

async fn matches(host: &Host, path: &str) -> Result<bool> {
    Ok(get(host, path).await?.status == 200)
}

#[tokio::test(flavor = "multi_thread")]
async fn exact_patterns_should_match_exact() -> Result<()> {
    let (_modules, host) = at("/foo").await?;
    ensure!(matches(&host, "/foo").await?);
    // exact_patterns_should_consider_trailing_slash, …not_match_subpaths, …not_match_superstrings
    for path in ["/foo/", "/foo/bar", "/foobar", "/fo", "/"] {
        ensure!(!matches(&host, path).await?, "{path}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn exact_patterns_should_consider_trailing_slash() -> Result<()> {
    let (_modules, host) = at("/foo/").await?;
    ensure!(matches(&host, "/foo/").await? && !matches(&host, "/foo").await?);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn prefix_patterns_should_match_exact_and_subpaths_but_not_superstrings() -> Result<()> {
    let (_modules, host) = at("/foo/...").await?;
    for path in ["/foo", "/foo/", "/foo/bar", "/foo/bar/baz"] {
        ensure!(matches(&host, path).await?, "{path}");
    }
    for path in ["/foobar", "/foobar/", "/fo"] {
        ensure!(!matches(&host, path).await?, "{path}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn can_serve_from_modules_toml() -> Result<()> {
    let (_modules, host) = at("/").await?;
    let answer = get(&host, "/").await?;
    ensure!(answer.status == 200 && answer.header("content-type") == "text/plain");
    // modules_toml_unmapped_route_returns_not_found
    ensure!(get(&host, "/does/not/exist").await?.status == 404);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn wildcard_routes_match_only_at_slash() -> Result<()> {
    let (_modules, host) = at("/blah/...").await?;
    ensure!(get(&host, "/blahahahaha").await?.status == 404);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn can_serve_multiple_static_entrypoints() -> Result<()> {
    let modules = Modules::new()?
        .guest("/defaultep", "wagi-routes", "")?
        .guest("/ep1", "wagi-routes", "entrypoint = \"on_exact\"")?
        .guest("/ep2", "wagi-routes", "entrypoint = \"on_wildcard\"")?;
    let host = Host::wagi(modules.write()?).start().await?;
    for (path, who) in [("/defaultep", MAIN), ("/ep1", EXACT), ("/ep2", WILDCARD)] {
        described(&host, path).await?.holds(who, &[])?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn can_serve_wat() -> Result<()> {
    let crlf = r#"(module
        (import "wasi_snapshot_preview1" "fd_write"
            (func $fd_write (param i32 i32 i32 i32) (result i32)))
        (memory (export "memory") 1)
        (data (i32.const 8) "content-type: text/plain\r\n\r\nOh hi world\r\n")
        (func (export "_start")
            (i32.store (i32.const 0) (i32.const 8)) (i32.store (i32.const 4) (i32.const 41))
            (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 20)))))"#;
    let modules = Modules::new()?.wat("/", crlf, "")?;
    let host = Host::wagi(modules.write()?).start().await?;
    let answer = get(&host, "/").await?;
    ensure!(answer.text() == "Oh hi world\r\n", "{:?}", answer.text());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn http_settings_are_mapped_to_env_vars() -> Result<()> {
    let modules =
        Modules::new()?
            .guest("/", "wagi-routes", "")?
            .guest("/test/...", "wagi-routes", "")?;
    let host = Host::wagi(modules.write()?).start().await?;
    described(&host, "/").await?.holds(
        MAIN,
        &[
            ("PATH_INFO", ""),
            ("PATH_TRANSLATED", ""),
            ("X_MATCHED_ROUTE", "/"),
            ("X_RAW_PATH_INFO", ""),
            ("SCRIPT_NAME", "/"),
            ("REMOTE_ADDR", "127.0.0.1"),
            ("REQUEST_METHOD", "GET"),
        ],
    )?;
    // http_settings_are_mapped_to_env_vars_wildcard_route
    described(&host, "/test/fizz/buzz").await?.holds(
        MAIN,
        &[
            ("PATH_INFO", "/fizz/buzz"),
            ("PATH_TRANSLATED", "/fizz/buzz"),
            ("X_MATCHED_ROUTE", "/test/..."),
            ("X_RAW_PATH_INFO", "/fizz/buzz"),
            ("SCRIPT_NAME", "/test"),
        ],
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn dynamic_routes_set_path_env_vars_correctly_module_map() -> Result<()> {
    let modules = Modules::new()?
        .guest("/", "wagi-routes", "")?
        .guest("/exactparent", "wagi-routes", "")?
        .guest("/exactparentslash/", "wagi-routes", "")?
        .guest("/wildcardparent/...", "wagi-routes", "")?;
    let host = Host::wagi(modules.write()?).start().await?;
    for (path, who, info, route, script) in [
        ("/", MAIN, "", "/", "/"),
        ("/exact", EXACT, "", "/exact", "/exact"),
        ("/exactparent", MAIN, "", "/exactparent", "/exactparent"),
        (
            "/exactparent/exact",
            EXACT,
            "",
            "/exactparent/exact",
            "/exactparent/exact",
        ),
        (
            "/exactparent/wildcard/fizz/buzz",
            WILDCARD,
            "/fizz/buzz",
            "/exactparent/wildcard/...",
            "/exactparent/wildcard",
        ),
        (
            "/exactparentslash/exact",
            EXACT,
            "",
            "/exactparentslash/exact",
            "/exactparentslash/exact",
        ),
        (
            "/exactparentslash/wildcard/fizz/buzz",
            WILDCARD,
            "/fizz/buzz",
            "/exactparentslash/wildcard/...",
            "/exactparentslash/wildcard",
        ),
        (
            "/wildcardparent",
            MAIN,
            "",
            "/wildcardparent/...",
            "/wildcardparent",
        ),
        (
            "/wildcardparent/fizz/buzz",
            MAIN,
            "/fizz/buzz",
            "/wildcardparent/...",
            "/wildcardparent",
        ),
        (
            "/wildcardparent/exact",
            EXACT,
            "",
            "/wildcardparent/exact",
            "/wildcardparent/exact",
        ),
        (
            "/wildcardparent/wildcard/fizz/buzz",
            WILDCARD,
            "/fizz/buzz",
            "/wildcardparent/wildcard/...",
            "/wildcardparent/wildcard",
        ),
    ] {
        let expected = [
            ("PATH_INFO", info),
            ("PATH_TRANSLATED", info),
            ("X_MATCHED_ROUTE", route),
            ("X_RAW_PATH_INFO", info),
            ("SCRIPT_NAME", script),
        ];
        let found = described(&host, path).await?;
        found
            .holds(who, &expected)
            .with_context(|| path.to_owned())?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn health_check_builtin_takes_precedence_over_user_routes() -> Result<()> {
    let modules =
        Modules::new()?
            .guest("/healthz", "wagi-rust", "")?
            .guest("/...", "wagi-rust", "")?;
    let host = Host::wagi(modules.write()?).start().await?;
    let answer = get(&host, "/healthz").await?;
    ensure!(answer.status == 200 && answer.text() == "OK", "{answer:?}");
    ensure!(get(&host, "/healthz/").await?.text() != "OK");
    Ok(())
}
