//! Reads its configuration through both drafts of `wasi:config/store`.

use guest::{ErrorCode, Request, Response, text};

mod bindings {
    wit_bindgen::generate!({ path: "wit", world: "imports", generate_all });
}

use bindings::wasi::config0_2_0_draft_2024_09_27::store as spin;
use bindings::wasi::config0_2_0_rc_1::store;

struct Configured;

impl wasip3::exports::http::handler::Guest for Configured {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let path = request.get_path_with_query().unwrap_or_default();
        let name = path.trim_start_matches('/');
        if name.is_empty() {
            let pairs = store::get_all().unwrap_or_default();
            let same = spin::get_all().is_ok_and(|others| others == pairs);
            let lines = pairs
                .iter()
                .map(|(name, value)| format!("{name}={value}\n"));
            return Ok(text(
                200,
                format!("{}same: {same}\n", lines.collect::<String>()),
            ));
        }
        let (value, other) = (store::get(name), spin::get(name));
        Ok(match (value, other) {
            (Ok(Some(value)), Ok(Some(other))) if value == other => text(200, format!("{value}\n")),
            (Ok(None), Ok(None)) => text(404, "no such value\n"),
            _ => text(500, "the drafts disagree\n"),
        })
    }
}

wasip3::http::service::export!(Configured);
