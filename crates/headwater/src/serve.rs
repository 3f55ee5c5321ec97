//! `headwater serve`.

use std::sync::{Mutex, Once, PoisonError};

use anyhow::{Context, Result};

use crate::banner;
use crate::cli::Serve;
use crate::connecting;
use crate::front;
use crate::hosting::{Hosting, host};
use crate::listening::{self, Listening};
use crate::live::{Hosted, Loading};
use crate::needs_restart::differing;
use crate::operation::Operation;
use crate::services::{self, Plan, Planned};

/// `headwater serve`.
pub(crate) fn run(arguments: Serve) -> Result<()> {
    host(move || prepare(arguments))
}

fn prepare(arguments: Serve) -> Result<Hosting> {
    // Before anything is started: what is wrong with it is said at once.
    let planned = services::plan(&arguments)?;
    let operation = Operation::new(&arguments.operation, &planned.host);
    let (flags, said) = (&arguments.listen, &planned.said);
    let Listening { listeners, .. } =
        listening::params(flags, &planned.host, operation.admin, said)?;
    // What is in force is what was there at the start.
    let known = planned.host.clone();
    let planned = Mutex::new(Some(planned));
    // Not before now: it is said where logs go.
    let said = Once::new();
    let load = move |loading: &Loading| {
        let planned = planned
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let Plan {
            services,
            builtins,
            host,
            said: _,
        } = match planned {
            Some(planned) => planned,
            None => services::plan(&arguments)?,
        };
        if !services.iter().any(Planned::says_proxy) {
            said.call_once(connecting::note_unused_environment);
        }
        let mut files = vec![arguments.file.clone()];
        files.extend(services.iter().flat_map(Planned::files));
        let services = services::load(services, loading)?;
        let unusable = || format!("cannot serve `{}`", arguments.file.display());
        let router = services::router(&services, &builtins).with_context(unusable)?;
        Ok(Hosted {
            internal: services::fronts(&services, &loading.common),
            banner: banner::lines(&services, &builtins),
            services,
            router,
            files,
            needs_restart: differing(&known, &host),
        })
    };
    Ok(Hosting {
        listeners,
        cache: front::code_cache(&operation.server).unwrap_or_default(),
        rewrite_forwarded: true,
        announcement: "Listening on",
        operation,
        load: Box::new(load),
    })
}
