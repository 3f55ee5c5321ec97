//! Promise: a guest that cannot be served gets one message that names it and the remedy. Settings
//! are in `bad_settings.rs`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use anyhow::{Result, ensure};
use headwater_tests::guests::guest;
use headwater_tests::refusal::{FAILURE, USAGE, refused, refuses};
use headwater_tests::settings::Settings;
use headwater_tests::{Client, Host, Services};
use tempfile::TempDir;
use tokio::net::TcpListener;

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_file() -> Result<()> {
    let folder = TempDir::new()?;
    let path = folder.path().join("not-there.wasm");
    let finished = Host::serve(&path).run_to_end().await?;
    refused(&finished, FAILURE, &["not-there.wasm"])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_in_place_of_a_file() -> Result<()> {
    let folder = TempDir::with_prefix("a-folder-")?;
    let finished = Host::serve(folder.path()).run_to_end().await?;
    refused(&finished, FAILURE, &["a-folder-", "directory"])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_with_settings_in_it_is_told_with_the_file_to_name() -> Result<()> {
    let folder = TempDir::new()?;
    for (name, words) in [
        ("modules.toml", "headwater wagi -c "),
        ("headwater.toml", "is a directory: name the file"),
    ] {
        fs::write(folder.path().join(name), "")?;
        for command in ["serve", "check"] {
            let finished = Host::headwater().arg(command).arg(folder.path());
            refused(&finished.run_to_end().await?, FAILURE, &[words, name])?;
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn standard_input() -> Result<()> {
    for command in ["serve", "check"] {
        let finished = Host::headwater().args([command, "-"]).run_to_end().await?;
        refused(
            &finished,
            FAILURE,
            &["standard input", "write it to a file"],
        )?;
    }
    let wagi = Host::headwater().args(["wagi", "-c", "-"]);
    refused(&wagi.run_to_end().await?, FAILURE, &["standard input"])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_in_place_of_a_command_gets_a_tip() -> Result<()> {
    let hello = guest("hello")?;
    let hello = hello.display();
    let folder = TempDir::new()?;
    let modules = folder.path().join("modules.toml");
    fs::write(&modules, "[[module]]\n")?;
    let modules = modules.display();
    for (arguments, tip) in [
        (
            vec![hello.to_string()],
            format!("write `headwater serve {hello}`"),
        ),
        (
            vec!["none.wasm".to_owned(), "--listen=127.0.0.1:0".to_owned()],
            "write `headwater serve none.wasm`".to_owned(),
        ),
        (
            vec![modules.to_string()],
            format!("write `headwater wagi -c {modules}`"),
        ),
        (
            vec!["none/modules.toml".to_owned()],
            "write `headwater wagi -c none/modules.toml`".to_owned(),
        ),
        (vec!["serv".to_owned()], "'serve'".to_owned()),
    ] {
        let finished = Host::headwater().args(arguments).run_to_end().await?;
        refused(&finished, USAGE, &[&tip])?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_in_place_of_an_address_gets_a_tip() -> Result<()> {
    let hello = guest("hello")?;
    for (flags, tip) in [
        (&["--port", "9000"][..], "`--listen 127.0.0.1:9000`"),
        (&["--port=9000"], "`--listen 127.0.0.1:9000`"),
        (&["-p", "9000"], "`--listen 127.0.0.1:9000`"),
        (&["--addr", "x"], "`--listen 127.0.0.1:8080`"),
    ] {
        for command in ["serve", "check"] {
            let finished = Host::headwater()
                .arg(command)
                .arg(&hello)
                .args(flags.to_vec());
            refused(&finished.run_to_end().await?, USAGE, &[tip])?;
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_file() -> Result<()> {
    refuses(b"", "empty.wasm", &["empty.wasm", "empty"]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_that_was_cut_off() -> Result<()> {
    let whole = fs::read(guest("hello")?)?;
    for length in [6, whole.len() / 2, whole.len() - 1] {
        refuses(&whole[..length], "cut.wasm", &["cut.wasm"]).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_picture() -> Result<()> {
    let png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01";
    refuses(png, "picture.wasm", &["picture.wasm"]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_that_is_no_settings_file() -> Result<()> {
    refuses(
        b"Dear reader,\nthis is a letter.\n",
        "letter.txt",
        &["letter.txt"],
    )
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_that_exports_nothing() -> Result<()> {
    let expected = ["other.wat", "wasi:http"];
    refuses(b"(component)", "other.wat", &expected).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_of_another_world() -> Result<()> {
    let command = br#"
        (component
          (core module $m (func (export "run") (result i32) i32.const 0))
          (core instance $i (instantiate $m))
          (func $run (result (result)) (canon lift (core func $i "run")))
          (instance $cli (export "run" (func $run)))
          (export "wasi:cli/run@0.2.3" (instance $cli)))"#;
    // The message says what the component is, what it should be, and what to do.
    let expected = ["command.wat", "wasi:http", "wasi:cli/run", "wasm32-wasip1"];
    refuses(command, "command.wat", &expected).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_that_was_built_for_a_release_candidate() -> Result<()> {
    for (imports, exports) in [
        (
            "wasi:http/types@0.3.0",
            "wasi:http/handler@0.3.0-rc-2025-09-16",
        ),
        (
            "wasi:http/types@0.3.0-rc-2025-09-16",
            "wasi:http/handler@0.3.0",
        ),
    ] {
        let component = format!(
            r#"
            (component
              (import "{imports}" (instance (export "now" (func))))
              (core module $m (func (export "handle")))
              (core instance $i (instantiate $m))
              (func $handle (canon lift (core func $i "handle")))
              (instance $handler (export "handle" (func $handle)))
              (export "{exports}" (instance $handler)))"#
        );
        let expected = ["early.wat", "0.3.0-rc-2025-09-16", "wasip3"];
        refuses(component.as_bytes(), "early.wat", &expected).await?;
    }
    Ok(())
}

/// Promise: a draft that has no release is one of the interfaces that Headwater does not offer.
#[tokio::test(flavor = "multi_thread")]
async fn a_component_that_imports_drafts_of_what_other_hosts_offer() -> Result<()> {
    let component = br#"
        (component
          (import "wasi:keyvalue/store@0.2.0-draft" (instance (export "open" (func))))
          (import "wasi:nn/graph@0.2.0-rc-2024-10-28" (instance (export "load" (func))))
          (import "my:own/x@0.1.0" (instance (export "y" (func))))
          (core module $m (func (export "handle")))
          (core instance $i (instantiate $m))
          (func $handle (canon lift (core func $i "handle")))
          (instance $handler (export "handle" (func $handle)))
          (export "wasi:http/handler@0.3.0" (instance $handler)))"#;
    let expected = [
        "draft.wat",
        "wasi:keyvalue/store@0.2.0-draft    offered by Spin",
        "wasi:nn/graph@0.2.0-rc-2024-10-28  offered by `wasmtime serve -S nn`",
        "my:own/x@0.1.0                     offered by no host that Headwater knows",
        "Headwater offers the packages wasi:cli,",
        "wasi:config/store@0.2.0-rc.1",
    ];
    refuses(component, "draft.wat", &expected).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_core_module_of_a_component() -> Result<()> {
    let core = br#"
        (module
          (import "wasi:http/types@0.3.2" "[constructor]fields" (func (result i32)))
          (func (export "[async-lift]wasi:http/handler@0.3.2#handle") (param i32) (result i32) i32.const 0)
          (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) unreachable))"#;
    let expected = [
        "core.wat",
        "wasi:http/handler@0.3.2#handle",
        "wasm32-wasip2",
        "wasm-tools component new",
    ];
    refuses(core, "core.wat", &expected).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_middleware_without_a_next_handler() -> Result<()> {
    let middleware = fs::read(guest("mw")?)?;
    let expected = ["mw.wasm", "wasi:http/handler@0.3", "wac plug"];
    refuses(&middleware, "mw.wasm", &expected).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_variable_that_looks_like_a_value_of_the_context() -> Result<()> {
    let name = "HEADWATER_CONTEXT_USER";
    let serve = Host::serve(guest("wagi-wat")?).args(["--env", &format!("{name}=eve")]);
    let expected = [name, "request's context", "name it otherwise"];
    refused(&serve.run_to_end().await?, USAGE, &expected)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_of_another_host() -> Result<()> {
    let spin = br#"
        spin_manifest_version = 2
        [application]
        name = "shop"
        [[trigger.http]]
        route = "/shop/..."
        component = "shop"
        [component.shop]
        source = "target/wasm32-wasip2/release/shop.wasm"
        "#;
    let expected = [
        "spin.toml",
        "Spin",
        "target/wasm32-wasip2/release/shop.wasm",
        "triggers",
    ];
    refuses(spin, "spin.toml", &expected).await?;
    let wadm = b"apiVersion: core.oam.dev/v1beta1\nkind: Application\n";
    refuses(wadm, "wadm.yaml", &["wadm.yaml", "wasmCloud", "image"]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_with_imports_that_headwater_does_not_offer() -> Result<()> {
    let importing = br#"
        (component
          (import "wasi:http/types@0.2.0" (instance $types
            (export "incoming-request" (type (sub resource)))
            (export "response-outparam" (type (sub resource)))))
          (import "acme:robots/arm@1.0.0" (instance (export "wave" (func))))
          (import "wasi:keyvalue/store@0.2.0-draft" (instance (export "open" (func))))
          (import "spin:variables/variables@3.0.0" (instance (export "get" (func))))
          (import "wasi:cli/environment@0.1.0" (instance (export "get-arguments" (func))))
          (alias export $types "incoming-request" (type $request))
          (alias export $types "response-outparam" (type $response))
          (core module $m (func (export "handle") (param i32 i32)))
          (core instance $i (instantiate $m))
          (func $handle
            (param "request" (own $request)) (param "response-out" (own $response))
            (canon lift (core func $i "handle")))
          (instance $handler (export "handle" (func $handle)))
          (export "wasi:http/incoming-handler@0.2.0" (instance $handler)))"#;
    // All missing interfaces, with who offers them.
    let expected = [
        "robot.wat",
        "acme:robots/arm@1.0.0",
        "wasi:keyvalue/store@0.2.0-draft  offered by Spin, wasmCloud",
        "spin:variables/variables@3.0.0   offered by Spin",
        "Headwater offers 0.2.12 and 0.3.0",
    ];
    refuses(importing, "robot.wat", &expected).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_module_without_an_entrypoint() -> Result<()> {
    let module = br#"(module (memory (export "memory") 1))"#;
    refuses(module, "library.wat", &["library.wat", "_start"]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_module_with_an_import_that_nobody_offers() -> Result<()> {
    let module = br#"
        (module
          (import "env" "launch_rockets" (func))
          (memory (export "memory") 1)
          (func (export "_start")))"#;
    refuses(
        module,
        "rockets.wat",
        &["rockets.wat", "env", "launch_rockets"],
    )
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_module_with_a_mistake() -> Result<()> {
    let module = b"(module\n  (func (export \"_start\")\n    i32.bogus))";
    refuses(module, "mistake.wat", &["mistake.wat", "i32.bogus"]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_in_use() -> Result<()> {
    let taken = TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = taken.local_addr()?.to_string();
    let finished = Host::headwater()
        .arg("serve")
        .arg(guest("hello")?)
        .args(["--listen", &address])
        .run_to_end()
        .await?;
    refused(&finished, FAILURE, &[&address, "in use", "--listen"])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_flag() -> Result<()> {
    let finished = Host::serve(guest("hello")?)
        .arg("--lissten")
        .run_to_end()
        .await?;
    refused(&finished, USAGE, &["--lissten", "--listen"])
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_values_of_flags() -> Result<()> {
    for (flag, value) in [
        ("--timeout", "soon"),
        ("--timeout", "-1s"),
        ("--env", "NO_EQUALS_SIGN"),
        ("--env", "=value"),
        ("--dir", "::/data"),
        ("--memory", "0"),
        ("--memory", "64MB"),
        ("--memory", "5GiB"),
        ("--max-concurrent-per-instance", "0"),
        ("--max-requests-per-instance", "many"),
        ("--trace-tree", "sometimes"),
        ("--log-format", "xml"),
        ("--allow-outgoing", "http://"),
        ("--allow-outgoing", "ftp://example.com"),
        ("--allow-outgoing", "not a host"),
        ("--allow-outgoing", "http://example.com:99999"),
        ("--allow-outgoing", ""),
    ] {
        let finished = Host::serve(guest("hello")?)
            .arg(format!("{flag}={value}"))
            .run_to_end()
            .await?;
        refused(&finished, USAGE, &[flag, value])?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_listen_address() -> Result<()> {
    for address in ["nowhere", "127.0.0.1", "127.0.0.1:99999"] {
        let finished = Host::headwater()
            .arg("serve")
            .arg(guest("hello")?)
            .args(["--listen", address])
            .run_to_end()
            .await?;
        refused(&finished, USAGE, &["--listen", address])?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_to_grant_that_does_not_exist() -> Result<()> {
    let finished = Host::serve(guest("hello")?)
        .args(["--dir", "/no/such/folder::/data"])
        .run_to_end()
        .await?;
    refused(&finished, FAILURE, &["/no/such/folder"])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_file_that_cannot_be_written() -> Result<()> {
    let finished = Host::serve(guest("hello")?)
        .args(["--trace-file", "/no/such/folder/trace.jsonl"])
        .run_to_end()
        .await?;
    refused(&finished, FAILURE, &["/no/such/folder/trace.jsonl"])
}

#[tokio::test(flavor = "multi_thread")]
async fn no_file_at_all() -> Result<()> {
    let finished = Host::headwater().arg("serve").run_to_end().await?;
    refused(&finished, USAGE, &["FILE"])
}

#[tokio::test(flavor = "multi_thread")]
async fn help_is_no_error_and_tells_of_every_option() -> Result<()> {
    let finished = Host::headwater()
        .args(["serve", "--help"])
        .run_to_end()
        .await?;
    ensure!(finished.code == Some(0), "{finished:?}");
    for option in [
        "--listen",
        "--allow-outgoing",
        "--env",
        "--dir",
        "--timeout",
        "--trace-file",
    ] {
        ensure!(
            finished.stdout.contains(option),
            "no {option} in:\n{}",
            finished.stdout
        );
    }
    Ok(())
}

/// Promise: whatever happens to the files of compiled code, guests are served and the process runs.
#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_file_in_the_code_cache_is_replaced_and_its_guest_served() -> Result<()> {
    let folder = TempDir::new()?;
    let cache = folder.path().join("code");
    let served = async || {
        let settings = Settings::default()
            .component("hello", "/hello", &[])?
            .module("wagi-wat", "/cgi")?;
        let cache = cache.display().to_string();
        let services = Services::start(settings, &["--code-cache", &cache]).await?;
        services.ok("/hello").await?;
        services.ok("/cgi").await?;
        anyhow::Ok(services)
    };
    let files = || -> Result<Vec<PathBuf>> {
        let entries = fs::read_dir(&cache)?;
        entries.map(|entry| Ok(entry?.path())).collect()
    };
    served().await?;
    let files = files()?;
    ensure!(files.len() == 2, "{files:?}");
    let whole: Vec<_> = files.iter().map(fs::read).collect::<Result<_, _>>()?;
    let flipped = |seed: usize| {
        move |content: &mut Vec<u8>| {
            for part in [1, 3, 7] {
                let bit = (seed * 7_919 + content.len() * part) % (content.len() * 8);
                content[bit / 8] ^= 1 << (bit % 8);
            }
        }
    };
    type Damage = Box<dyn Fn(&mut Vec<u8>)>;
    let damages: [Damage; 6] = [
        Box::new(flipped(1)),
        Box::new(flipped(100)),
        Box::new(flipped(10_000)),
        Box::new(|content| content.truncate(content.len() / 2)),
        Box::new(Vec::clear),
        Box::new(|content| content.fill(0)),
    ];
    for damage in damages {
        for (file, whole) in files.iter().zip(&whole) {
            let mut content = whole.clone();
            damage(&mut content);
            fs::write(file, content)?;
        }
        let services = served().await?;
        for file in &files {
            let name = file.display().to_string();
            let warned = |line: &str| line.contains(&name) && line.contains("compiled again");
            let log = services.host().stderr();
            log.wait_for("a warning that names the file", warned)
                .await?;
        }
        for (file, whole) in files.iter().zip(&whole) {
            ensure!(fs::read(file)? == *whole, "{} is as it was", file.display());
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_cache_that_cannot_be_used_is_told_of_with_the_remedy() -> Result<()> {
    let folder = TempDir::new()?;
    let file = folder.path().join("file");
    fs::write(&file, "")?;
    let shared = folder.path().join("shared");
    fs::create_dir(&shared)?;
    fs::set_permissions(&shared, fs::Permissions::from_mode(0o777))?;
    for (place, why) in [(&file, "not a directory"), (&shared, "chmod go-w")] {
        let place = place.display().to_string();
        let host = Host::serve(guest("hello")?).args(["--code-cache", &place]);
        let host = host.start().await?;
        let told = |line: &str| {
            [&*place, why, "--code-cache off"]
                .iter()
                .all(|part| line.contains(part))
        };
        host.stderr().wait_for("the remedy", told).await?;
        let answer = Client::new().get(host.url()).await?;
        ensure!(answer.status == 200, "{answer:?}");
    }
    ensure!(fs::read_dir(&shared)?.count() == 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn compiled_code_is_kept_where_it_is_said_or_nowhere() -> Result<()> {
    let home = TempDir::new()?;
    let start = |arguments: &[&str]| {
        let host = Host::serve(guest("wagi-wat")?).args(arguments);
        anyhow::Ok(host.env("XDG_CACHE_HOME", &home.path().display().to_string()))
    };
    start(&["--code-cache", "off"])?.start().await?;
    ensure!(fs::read_dir(home.path())?.count() == 0, "a file was made");
    start(&[])?.start().await?;
    ensure!(fs::read_dir(home.path().join("headwater"))?.count() == 1);
    Ok(())
}
