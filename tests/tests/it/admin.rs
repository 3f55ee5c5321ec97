//! Promise: the operator sees on a separate listener what the host does, and can reload it there; a
//! web page cannot.

use anyhow::{Context, Result, ensure};
use headwater_tests::client::{Answer, empty, full};
use headwater_tests::guests::guest;
use headwater_tests::programs::Program;
use headwater_tests::settings::Settings;
use headwater_tests::upstream::Behaviour;
use headwater_tests::{Admin, Client, Host, Upstream};
use http::Request;
use serde_json::Value;

#[tokio::test(flavor = "multi_thread")]
async fn a_request_in_flight_is_told_until_its_end() -> Result<()> {
    let held = Upstream::with(Behaviour::Hold).await?;
    let serve = Host::serve(guest("fanout")?).args(["--allow-outgoing", &held.url()]);
    let (host, admin) = Admin::start(serve).await?;
    let url = format!("{}/path?to={}&k=1&wait=0", host.url(), held.url());
    let request = tokio::spawn(async move { Client::new().get(&url).await });
    held.wait_for(1).await?;

    let told = admin.json("/requests").await?;
    let [one] = told.as_array().context("a list")?.as_slice() else {
        anyhow::bail!("one request is in flight, and told are: {told}");
    };
    ensure!(
        one["service"] == "fanout" && one["path"] == "/path" && one["host"] == host.address(),
        "{one}"
    );
    ensure!(
        one["outgoing_requests"] == 1 && one["answered"] == false,
        "{one}"
    );
    let services = admin.json("/services").await?;
    ensure!(services["requests_in_flight"] == 1, "{services}");
    let pool = &services["services"][0]["pool"];
    ensure!(
        pool["requests"] == 1 && pool["instances"][0]["in_flight"] == 1,
        "{pool}"
    );

    held.release();
    let answer = request.await??;
    ensure!(one["request_id"] == answer.request_id(), "{one}");
    ensure!(admin.json("/requests").await? == Value::Array(Vec::new()));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn health_metrics_and_the_log_are_for_the_operator() -> Result<()> {
    let (mut host, admin) = Admin::start(Host::serve(guest("hello")?)).await?;
    for path in ["healthz", "readyz"] {
        admin.text(&format!("/{path}")).await?;
        // The public listener does not serve it: the guest answers there.
        let public = Client::new().get(&format!("{}/{path}", host.url())).await?;
        ensure!(public.text().contains("Hello"), "{}", public.text());
    }
    let metrics = admin.text("/metrics").await?;
    let count = metrics.lines().find(|line| {
        line.starts_with("http_server_request_duration_seconds_count") && line.contains("hello")
    });
    ensure!(count.is_some_and(|line| line.ends_with(" 2")), "{metrics}");

    for name in [
        "headwater_build_info{",
        "headwater_reload_last_success_seconds ",
        "headwater_pool_instance_alive{",
        "process_cpu_time_seconds_total ",
        "process_memory_usage_bytes ",
        "process_open_files ",
        "process_uptime_seconds ",
    ] {
        ensure!(
            metrics.lines().any(|line| line.starts_with(name)),
            "no {name}: {metrics}"
        );
    }
    let below = "http_server_request_duration_seconds_bucket";
    let quarter = |line: &str| line.starts_with(below) && line.contains("le=\"0.00025\"");
    ensure!(metrics.lines().any(quarter), "{metrics}");
    if let Some(promtool) = Program::promtool() {
        let checked = promtool
            .run_on(metrics.as_bytes(), ["check", "metrics"])
            .await?;
        ensure!(
            checked.code == Some(0) && checked.stderr.is_empty(),
            "{checked:?}"
        );
    }

    let set = |filter: &'static str| {
        let request = Request::put(format!("{}/log", admin.url())).body(full(filter));
        async move { Client::new().send(request?).await }
    };
    for wrong in ["headwater=loud", "debg", ""] {
        ensure!(set(wrong).await?.status == 400, "{wrong}");
    }
    ensure!(set("headwater_runtime=debug").await?.status == 200);
    let log = admin.text("/log").await?;
    ensure!(log.trim() == "headwater_runtime=debug", "{log}");

    host.process().terminate()?;
    ensure!(host.exit().await?.code() == Some(0));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn it_loads_again_when_told_and_says_what_is_wrong_and_no_page_can_tell_it() -> Result<()> {
    let settings = Settings::default()
        .component("hello", "/...", &[])?
        .write()?;
    let (host, admin) = Admin::start(Host::serve(settings.path())).await?;
    let reload = |fields: &'static [(&str, &str)]| {
        let mut request = Request::post(format!("{}/reload", admin.url()));
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let request = request.body(empty());
        async move { Client::new().send(request?).await }
    };
    let good = reload(&[]).await?;
    ensure!(
        good.status == 200 && good.text().contains('2'),
        "{}",
        good.text()
    );

    for page in [
        &[("origin", "https://evil.example")][..],
        &[("host", "evil.example")],
    ] {
        ensure!(reload(page).await?.status == 403, "{page:?}");
    }

    let text = std::fs::read_to_string(settings.path())?;
    std::fs::write(settings.path(), text.replace("route", "rout"))?;
    let bad = reload(&[]).await?;
    ensure!(
        bad.status == 422 && bad.text().contains("`rout`"),
        "{}",
        bad.text()
    );
    let told = admin.json("/services").await?;
    ensure!(told["generation"] == 2, "{told}");
    ensure!(
        told["last_reload_error"]
            .as_str()
            .is_some_and(|text| text.contains("rout")),
        "{told}"
    );
    ensure!(Client::new().get(host.url()).await?.status == 200);
    Ok(())
}

/// Sends a request with these header fields.
async fn asked(url: &str, fields: &[(&str, &str)]) -> Result<Answer> {
    let mut request = Request::get(url);
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    Client::new().send(request.body(empty())?).await
}

#[tokio::test(flavor = "multi_thread")]
async fn who_operates_it_by_a_name_or_from_its_own_page_may_if_the_name_is_known() -> Result<()> {
    let serve = Host::serve(guest("hello")?).args(["--admin-hosts", "admin.example,*.svc.local"]);
    let (_host, admin) = Admin::start(serve).await?;
    let services = format!("{}/services", admin.url());
    for (fields, status) in [
        (&[("host", "admin.example")][..], 200),
        (&[("host", "a.svc.local:9901")], 200),
        (&[("host", "other.example")], 403),
        (
            &[
                ("host", "admin.example"),
                ("origin", "http://admin.example"),
                ("sec-fetch-site", "same-origin"),
            ],
            200,
        ),
        (
            &[("host", "admin.example"), ("origin", "http://evil.example")],
            403,
        ),
        (
            &[("host", "admin.example"), ("sec-fetch-site", "cross-site")],
            403,
        ),
    ] {
        let answer = asked(&services, fields).await?;
        ensure!(answer.status == status, "{fields:?}: {answer:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_token_only_who_has_it_may_and_probes_may_all_the_same() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("token");
    std::fs::write(&file, "s3cret-t0ken\n")?;
    let by_flag =
        Host::serve(guest("hello")?).args(["--admin-token-file", &file.to_string_lossy()]);
    let settings = Settings::default()
        .component("hello", "/...", &[])?
        .text("[admin]\ntoken = { env = \"ADMIN_TOKEN\" }\n")
        .write()?;
    let by_file = Host::serve(settings.path()).env("ADMIN_TOKEN", "s3cret-t0ken");
    for serve in [by_flag, by_file] {
        let (_host, admin) = Admin::start(serve).await?;
        let url = |path: &str| format!("{}{path}", admin.url());
        for path in ["/services", "/requests", "/metrics", "/log", "/", "/none"] {
            let none = asked(&url(path), &[]).await?;
            ensure!(none.status == 401, "{path}: {none:?}");
            ensure!(
                none.headers["www-authenticate"] == "Bearer realm=\"headwater admin\"",
                "{none:?}"
            );
            let wrong = asked(&url(path), &[("authorization", "Bearer s3cret-t0kem")]).await?;
            ensure!(wrong.status == 401, "{path}: {wrong:?}");
            let challenge = wrong.headers["www-authenticate"].to_str()?;
            ensure!(challenge.contains("invalid_token"), "{wrong:?}");
            ensure!(!wrong.text().contains("s3cret"), "{wrong:?}");
            let right = asked(&url(path), &[("authorization", "Bearer s3cret-t0ken")]).await?;
            let expected = if path == "/none" { 404 } else { 200 };
            ensure!(right.status == expected, "{path}: {right:?}");
        }
        let reload = Request::post(url("/reload")).body(empty())?;
        ensure!(Client::new().send(reload).await?.status == 401);
        for path in ["/healthz", "/readyz"] {
            let probe = asked(&url(path), &[("host", "any.example")]).await?;
            ensure!(probe.status == 200, "{path}: {probe:?}");
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_listener_for_probes_answers_probes_and_metrics_and_nothing_else() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("token");
    std::fs::write(&file, "s3cret-t0ken")?;
    let host = Host::serve(guest("hello")?)
        .args(["--admin-probes", "127.0.0.1:0"])
        .args(["--admin-token-file", &file.to_string_lossy()])
        .start()
        .await?;
    let line = host
        .stdout()
        .wait_for("a line `Probes on http://…`", |line| {
            line.starts_with("Probes on ")
        })
        .await?;
    let url = line.trim_start_matches("Probes on ").trim().to_owned();
    let get = |path: &str| {
        let url = format!("{url}{path}");
        async move { Client::new().get(&url).await }
    };
    ensure!(Client::new().get(host.url()).await?.status == 200);
    for path in ["/healthz", "/readyz", "/metrics", "/"] {
        let answer = get(path).await?;
        ensure!(answer.status == 200, "{path}: {answer:?}");
    }
    ensure!(
        get("/metrics")
            .await?
            .text()
            .contains("http_server_request_duration")
    );
    for path in ["/services", "/requests", "/log", "/reload"] {
        let answer = get(path).await?;
        ensure!(answer.status == 404, "{path}: {answer:?}");
    }
    let page = asked(&format!("{url}/metrics"), &[("host", "evil.example")]).await?;
    ensure!(page.status == 403, "{page:?}");
    // The command line did not ask for the admin listener.
    ensure!(!host.stdout().text().contains("Admin on "));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn modules_of_wagi_are_told_of_like_services() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("modules.toml");
    let (module, site) = (guest("wagi-rust")?, folder.path());
    let text = format!(
        "[[module]]\nname = \"it\"\nroute = \"/it/...\"\nmodule = {module:?}\n\
         allowed_hosts = [\"https://api.example.com\"]\nenvironment = {{ KEY = \"s3cret\" }}\n\
         volumes = {{ \"/site\" = {site:?} }}\n"
    );
    std::fs::write(&file, &text)?;
    let (host, admin) = Admin::start(Host::wagi(&file)).await?;
    let told = admin.json("/services").await?;
    let [it] = told["services"].as_array().context("a list")?.as_slice() else {
        anyhow::bail!("one module is there, and told are: {told}");
    };
    ensure!(it["name"] == "it" && it["kind"] == "module", "{it}");
    ensure!(it["routes"] == serde_json::json!(["/it/..."]), "{it}");
    ensure!(it["environment"] == serde_json::json!(["KEY"]), "{it}");
    ensure!(it["directories"][0]["guest"] == "/site", "{it}");
    ensure!(
        it["may_call"][0]
            .as_str()
            .is_some_and(|host| host.contains("api.example.com")),
        "{it}"
    );
    ensure!(!told.to_string().contains("s3cret"), "{told}");
    ensure!(
        Client::new()
            .get(&format!("{}/it", host.url()))
            .await?
            .status
            == 200
    );

    std::fs::write(&file, text.replace("\"it\"", "\"other\""))?;
    let request = Request::post(format!("{}/reload", admin.url())).body(empty())?;
    ensure!(Client::new().send(request).await?.status == 200);
    let told = admin.json("/services").await?;
    ensure!(told["services"][0]["name"] == "other", "{told}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_guest_is_given_is_told_without_secrets() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let site = folder.path();
    let settings = Settings::default()
        .module_as("cgi", "wagi-c", "/cgi/...")?
        .text("environment = { KEY = \"s3cret\" }\n")
        .text(&format!("directories = {{ \"/site\" = {site:?} }}\n"))
        .component("hello", "/...", &["https://api.example.com"])?
        .text("environment = { TOKEN = \"s3cret\" }\n");
    let file = settings.write()?;
    let serve = Host::serve(file.path()).args(["--log", "info,headwater::environment=debug"]);
    let (mut host, admin) = Admin::start(serve).await?;

    let hello = admin.json("/services/hello/environment").await?;
    ensure!(hello["environment"]["TOKEN"] == "<redacted>", "{hello}");
    ensure!(
        hello["kind"] == "component" && hello["arguments"] == serde_json::json!([]),
        "{hello}"
    );
    ensure!(
        hello["may_call"].to_string().contains("api.example.com"),
        "{hello}"
    );
    let cgi = admin.json("/services/cgi/environment").await?;
    ensure!(cgi["environment"]["KEY"] == "<redacted>", "{cgi}");
    let directory = &cgi["directories"][0];
    ensure!(
        directory["guest"] == "/site" && directory["read_only"] == false,
        "{cgi}"
    );

    let mut ids = Vec::new();
    for query in ["a=1", "b=2"] {
        let request = Request::get(format!("{}/cgi/x?{query}", host.url()))
            .header("authorization", "Bearer s3cret")
            .header("x-api-key", "s3cret")
            .header("x-colour", "blue")
            .body(empty())?;
        ids.push(Client::new().send(request).await?.request_id().to_owned());
    }
    for (id, query) in ids.iter().zip(["a=1", "b=2"]) {
        let given = admin
            .json(&format!("/services/cgi/environment?request={id}"))
            .await?;
        let environment = &given["environment"];
        ensure!(given["request_id"] == *id, "{given}");
        ensure!(
            environment["QUERY_STRING"] == query && environment["PATH_INFO"] == "/x",
            "{given}"
        );
        ensure!(environment["HTTP_X_COLOUR"] == "blue", "{given}");
        ensure!(environment["KEY"] == "<redacted>", "{given}");
        ensure!(environment["HTTP_X_API_KEY"] == "<redacted>", "{given}");
        ensure!(
            given["arguments"] == serde_json::json!(["/cgi/x", query]),
            "{given}"
        );
        ensure!(!given.to_string().contains("s3cret"), "{given}");
    }
    for (path, told) in [
        (
            "/services/none/environment",
            "no service or middleware named `none`",
        ),
        (
            "/services/cgi/environment?request=7",
            "`7` is not the id of a request",
        ),
        (
            &*format!("/services/hello/environment?request={}", ids[0]),
            "leave out `request`",
        ),
        (
            "/services/cgi/environment?request=00000000-0000-7000-8000-000000000000",
            "100 others since",
        ),
    ] {
        let answer = Client::new().get(&format!("{}{path}", admin.url())).await?;
        ensure!(
            answer.status == 404 && answer.text().contains(told),
            "{}",
            answer.text()
        );
    }

    host.stop().await?;
    let log = host.stderr().lines();
    let logged: Vec<_> = log
        .iter()
        .filter(|line| line.contains("headwater::environment"))
        .collect();
    ensure!(logged.len() == 2, "{log:?}");
    for (line, id) in logged.iter().zip(&ids) {
        ensure!(
            line.contains(&**id) && line.contains("HTTP_X_COLOUR=\"blue\""),
            "{line}"
        );
    }
    ensure!(!log.iter().any(|line| line.contains("s3cret")), "{log:?}");
    Ok(())
}
