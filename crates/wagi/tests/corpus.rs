//! Modules of many toolchains, and interpreters with scripts, each with the answer that it is to give. They
//! are the guests in `components/`, as `cargo xtask components` builds or fetches them; a guest whose
//! compiler could not be had there is skipped here, with a line that says so.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "what fails here fails the test, and what is skipped is said"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use headwater_core::{Handler, RequestId, RequestScope, ScopeParts, SpanContext, full};
use headwater_runtime::Directory;
use headwater_runtime::Engine;
use headwater_wagi::{Compat, ResponseMode, WagiModule, WagiSettings};
use http::{Request, Response};
use http_body_util::BodyExt;

/// What is sent; its bytes' sum is 5 * 10 * 255 * 128.
fn body() -> Vec<u8> {
    (0..=255_u8).cycle().take(256 * 50).collect()
}

const SUM: &str = "body: 12800 bytes, sum 1632000\n";

/// A guest, and what it answers.
struct Entry {
    guest: &'static str,
    argv: Option<&'static str>,
    /// Lines that its answer has, in this order.
    lines: &'static [&'static str],
    cookies: usize,
    /// Whether it ends by `proc_exit(0)`, which was a failure under WAGI.
    exits: bool,
}

const CORPUS: &[Entry] = &[
    Entry {
        guest: "wagi-c",
        argv: None,
        lines: &[
            "Hello from C!",
            "method: POST",
            "path info: /a b",
            "argv[1]: x=1",
        ],
        cookies: 0,
        exits: true,
    },
    Entry {
        guest: "wagi-wat",
        argv: None,
        lines: &["Hello from WAT!"],
        cookies: 0,
        exits: false,
    },
    Entry {
        guest: "wagi-rust",
        argv: None,
        lines: &[
            "PATH_INFO=/a b",
            "argv: [\"/a%20b\", \"x=1\"]",
            "body: 12800 bytes",
        ],
        cookies: 0,
        exits: false,
    },
    Entry {
        guest: "wagi-go",
        argv: None,
        lines: &[
            "Hello from Go!",
            "method: POST",
            "path info: /a b",
            "content type: text/x-test",
            "argv[0]: /a%20b",
            "argv[1]: x=1",
        ],
        cookies: 2,
        exits: true,
    },
    Entry {
        guest: "wagi-zig",
        argv: None,
        lines: &["Hello from Zig!", "body: 12800", "sum: 1632000"],
        cookies: 0,
        exits: true,
    },
    Entry {
        guest: "wagi-as",
        argv: None,
        lines: &["Hello from AssemblyScript!", "body: 12800", "sum: 1632000"],
        cookies: 0,
        exits: false,
    },
    Entry {
        guest: "python",
        argv: Some("python /app/app.py ${ARGS}"),
        lines: &[
            "Hello from Python!",
            "method: POST",
            "path info: /a b",
            "argv: ['/app/app.py', 'x=1']",
        ],
        cookies: 2,
        exits: false,
    },
    Entry {
        guest: "quickjs",
        argv: Some("qjs --std /app/app.js ${ARGS}"),
        lines: &[
            "Hello from JavaScript!",
            "method: POST",
            "path info: /a b",
            "argv: [\"/app/app.js\",\"x=1\"]",
        ],
        cookies: 2,
        exits: false,
    },
];

impl Entry {
    /// The guest's file; none if it could not be built here.
    fn file(&self) -> Option<PathBuf> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let folder = std::env::var_os("HEADWATER_COMPONENTS")
            .map_or_else(|| root.join("target/components"), PathBuf::from);
        let file = folder.join(self.guest).with_extension("wasm");
        if file.is_file() {
            return Some(file);
        }
        // What is in Rust, C and text is always built.
        let optional = ["wagi-go", "wagi-zig", "wagi-as", "python", "quickjs"];
        assert!(
            optional.contains(&self.guest),
            "{} is not there; run `cargo xtask components`",
            file.display()
        );
        eprintln!("SKIPPED: {} was not built", self.guest);
        None
    }

    fn settings(&self, compat: Compat, response: ResponseMode) -> WagiSettings {
        let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../components");
        WagiSettings {
            argv: self.argv.map(str::to_owned),
            volumes: self
                .argv
                .map(|_| Directory {
                    guest: "/app".to_owned(),
                    host: scripts.join(self.guest),
                    read_only: true,
                })
                .into_iter()
                .collect(),
            compat,
            response,
            ..WagiSettings::new(self.guest)
        }
    }

    fn check(&self, response: &Response<Bytes>) {
        let text = String::from_utf8_lossy(response.body());
        let guest = self.guest;
        assert_eq!(response.status(), 200, "{guest}: {text}");
        assert_eq!(response.headers()["content-type"], "text/plain", "{guest}");
        let mut rest = text.lines();
        for line in self.lines {
            assert!(
                rest.any(|other| other == *line),
                "{guest}: no {line:?} in {text}"
            );
        }
        if !["wagi-wat", "wagi-rust", "wagi-zig", "wagi-as"].contains(&guest) {
            assert!(text.contains(SUM), "{guest}: {text}");
        }
        let cookies = response.headers().get_all("set-cookie").iter().count();
        assert_eq!(cookies, self.cookies, "{guest}");
    }
}

async fn send(module: &WagiModule) -> Response<Bytes> {
    let request = Request::post("http://localhost/a%20b?x=1")
        .header("content-type", "text/x-test")
        .header("host", "localhost")
        .body(full(body()))
        .unwrap();
    let scope = RequestScope::new(ScopeParts {
        id: RequestId::new(),
        parent: None,
        span: SpanContext::empty_context(),
        service: "guest".into(),
        route: "/...".into(),
        host: None,
        client: Some("127.0.0.1:4000".parse().unwrap()),
        started: Instant::now(),
        deadline: None,
    });
    let response = module.handle(request, Arc::clone(&scope)).await;
    let (head, body) = response.unwrap().into_parts();
    Response::from_parts(head, body.collect().await.unwrap().to_bytes())
}

async fn answers(guests: &[&str]) {
    let engine = Engine::with_places(10).unwrap();
    for entry in CORPUS.iter().filter(|entry| guests.contains(&entry.guest)) {
        let Some(file) = entry.file() else { continue };
        let bytes = fs::read(file).unwrap();
        let load = |settings| WagiModule::load(&engine, &bytes, settings).unwrap();
        for mode in [ResponseMode::Buffer, ResponseMode::Stream] {
            let module = load(entry.settings(Compat::Default, mode));
            entry.check(&send(&module).await);
            // An instance of its own each time.
            entry.check(&send(&module).await);
        }
        let module = load(entry.settings(Compat::Strict, ResponseMode::Buffer));
        let strict = send(&module).await;
        let status = if entry.exits { 500 } else { 200 };
        assert_eq!(strict.status(), status, "{}", entry.guest);
    }
}

#[tokio::test]
async fn modules_that_are_always_built_answer_as_recorded() {
    answers(&["wagi-c", "wagi-wat", "wagi-rust"]).await;
}

#[tokio::test]
async fn a_go_module_answers_as_recorded() {
    answers(&["wagi-go"]).await;
}

#[tokio::test]
async fn a_zig_module_answers_as_recorded() {
    answers(&["wagi-zig"]).await;
}

#[tokio::test]
async fn an_assemblyscript_module_answers_as_recorded() {
    answers(&["wagi-as"]).await;
}

#[tokio::test]
async fn python_runs_a_script_from_a_volume() {
    answers(&["python"]).await;
}

#[tokio::test]
async fn quickjs_runs_a_script_from_a_volume() {
    answers(&["quickjs"]).await;
}
