//! `headwater serve`.

use std::sync::{Mutex, Once, PoisonError};

use anyhow::{Context, Result};

use crate::banner;
use crate::cli::{self, Serve};
use crate::convert;
use crate::convert::connecting;
use crate::convert::listening;
use crate::convert::operation::Operation;
use crate::diagnostics::{Diagnostics, WarningLog};
use crate::reload::{BuildContext, BuiltHost};
use crate::run::host::{Hosting, host};
use crate::spec::host_spec::HostSpec;
use crate::spec::needs_restart::differing;
use crate::spec::prepared::PreparedService;

/// `headwater serve`.
pub(crate) fn run(arguments: Serve) -> Result<()> {
    host(move || prepare(arguments))
}

fn prepare(arguments: Serve) -> Result<Hosting> {
    // Before anything is started: what is wrong with it is said at once.
    let mut found = Diagnostics::default();
    let planned = crate::spec::host_spec::plan(&arguments, &mut found).map(|plan| {
        let (flags, locations) = (&arguments.operation, &plan.locations);
        let operation = Operation::new(flags, &plan.host, locations, &mut found);
        let (flags, admin) = (&arguments.listen, &operation.admin);
        let listening = listening::params(flags, &plan.host, admin, locations, &mut found);
        (plan, operation, listening)
    });
    let ((planned, operation, listening), warnings) = found.accept(planned)?;
    let variables = cli::unknown_variables("serve", &planned.variables);
    // What is in force is what was there at the start.
    let known = planned.host.clone();
    let planned = Mutex::new(Some((planned, warnings)));
    // Not before now: it is said where logs go.
    let noted = Once::new();
    let warning_log = WarningLog::default();
    let load = move |loading: &BuildContext| {
        let planned = planned
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let (plan, mut warnings) = match planned {
            Some(planned) => planned,
            None => {
                let mut found = Diagnostics::default();
                let plan = crate::spec::host_spec::plan(&arguments, &mut found);
                found.accept(plan)?
            }
        };
        warnings.extend(variables.iter().cloned());
        warning_log.note(warnings);
        let HostSpec {
            services,
            builtins,
            host,
            ..
        } = plan;
        if !services.iter().any(PreparedService::says_proxy) {
            noted.call_once(connecting::note_unused_environment);
        }
        let mut files = vec![arguments.file.clone()];
        files.extend(services.iter().flat_map(PreparedService::files));
        let mut found = Diagnostics::default();
        let services = crate::build::services::load(services, loading, &mut found);
        let (services, _) = found.accept(Some(services))?;
        let unusable = || format!("cannot serve `{}`", arguments.file.display());
        let router =
            crate::build::running_service::router(&services, &builtins).with_context(unusable)?;
        Ok(BuiltHost {
            internal: crate::build::running_service::fronts(&services, &loading.common),
            banner: banner::lines(&services, &builtins),
            services,
            router,
            files,
            needs_restart: differing(&known, &host),
        })
    };
    Ok(Hosting {
        listeners: listening.listeners,
        cache: convert::host::code_cache(&operation.server).unwrap_or_default(),
        rewrite_forwarded: true,
        announcement: "Listening on",
        operation,
        load: Box::new(load),
    })
}
