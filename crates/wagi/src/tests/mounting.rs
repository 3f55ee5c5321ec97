use super::*;
use crate::Compat;

/// Returns a module with this body of `_routes`.
fn naming(routes: &str) -> String {
    format!(
        r#"(module {imports}
            (data (i32.const 1024) "/a on_a\n/b/... on_b\n")
            (func (export "_start")) (func (export "on_a")) (func (export "on_b"))
            (func (export "_routes") {routes}))"#,
        imports = imports(PREVIEW1)
    )
}

const PRINT: &str = "(call $print (i32.const 1024) (i32.const 20))";

fn compat(compat: Compat) -> WagiSettings {
    WagiSettings {
        compat,
        ..settings()
    }
}

#[tokio::test]
async fn routes_are_tried_from_the_last_named_one_to_the_module_s_own() {
    let module = engine().load(&naming(PRINT));
    let mounts = module.mount("/x/...").await.unwrap();
    let found: Vec<_> = mounts
        .iter()
        .map(|mount| (mount.pattern.as_str(), mount.entrypoint.as_str()))
        .collect();
    let expected = [("/x/b/...", "on_b"), ("/x/a", "on_a"), ("/x/...", "_start")];
    assert_eq!(found, expected);
    assert!(mounts.iter().all(|mount| mount.problem.is_none()));
}

#[tokio::test]
async fn a_module_without_routes_has_its_own() {
    let mounts = engine().load(&program("", "")).mount("/x").await.unwrap();
    assert_eq!(mounts.len(), 1);
    assert_eq!(mounts[0].pattern, "/x");
}

#[tokio::test]
async fn an_exit_with_code_0_is_a_success_but_strictly_is_not() {
    let engine = engine();
    let exits = naming(&format!("{PRINT} (call $proc_exit (i32.const 0))"));
    let mounts = engine.load(&exits).mount("/").await.unwrap();
    assert_eq!(mounts.len(), 3);
    let strict = engine.load_with(&exits, compat(Compat::Strict));
    let error = strict.mount("/").await.unwrap_err().to_string();
    assert!(error.contains("code 0"), "{error}");
}

#[tokio::test]
async fn routes_that_fail_leave_the_module_s_own_as_a_500() {
    let engine = engine();
    for (routes, told) in [
        ("unreachable", "unreachable"),
        ("", "printed nothing"),
        ("(call $proc_exit (i32.const 3))", "code 3"),
        ("(call $print (i32.const 1024) (i32.const 3))", "\"/a \""),
        ("(loop $forever (br $forever))", "took longer"),
    ] {
        let mut settings = settings();
        settings.limits.request_timeout = Duration::from_millis(200);
        let module = engine.load_with(&naming(routes), settings);
        let mounts = module.mount("/x").await.unwrap();
        let [mount] = &mounts[..] else {
            panic!("{routes}: {mounts:?}")
        };
        assert_eq!(mount.pattern, "/x");
        let problem = mount.problem.as_deref().unwrap();
        assert!(problem.contains(told), "{problem}");
        let handled = mount.handler.handle(get("http://h/x"), scope(None)).await;
        let fault = handled.unwrap_err();
        assert_eq!(fault.status(), 500);
        assert!(fault.cause().unwrap().contains(told));

        let strict = engine.load_with(
            &naming(routes),
            WagiSettings {
                compat: Compat::Strict,
                ..module.settings().clone()
            },
        );
        let error = strict.mount("/x").await.unwrap_err().to_string();
        assert!(error.contains(told), "{error}");
    }
}

#[tokio::test]
async fn a_route_whose_entrypoint_is_missing_is_a_500_alone() {
    let wat = naming(PRINT).replace(r#"(func (export "on_a"))"#, "");
    let mounts = engine().load(&wat).mount("/").await.unwrap();
    let problems: Vec<_> = mounts.iter().map(|mount| mount.problem.is_some()).collect();
    assert_eq!(problems, [false, true, false]);
    // Also if it is the module's own.
    let wat = naming(PRINT).replace(r#"(func (export "_start"))"#, "");
    let mounts = engine().load(&wat).mount("/").await.unwrap();
    let problems: Vec<_> = mounts.iter().map(|mount| mount.problem.is_some()).collect();
    assert_eq!(problems, [false, false, true]);
}
