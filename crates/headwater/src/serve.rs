use anyhow::Result;

use crate::Host;
use crate::cli::Serve;
use crate::convert::listening;
use crate::convert::operation::Operation;
use crate::diagnostics::Diagnostics;
use crate::host::loader::Loader;
use crate::run::process::{Hosting, serve};
use crate::spec::host_spec::SpecSource;

pub(crate) fn run(arguments: Serve) -> Result<()> {
    serve(move || prepare(arguments))
}

fn prepare(arguments: Serve) -> Result<Hosting> {
    // Check before anything starts, so that errors are reported at once.
    let mut found = Diagnostics::default();
    let spec = arguments.read(&mut found).map(|spec| {
        let (flags, locations) = (&arguments.operation, &spec.locations);
        let operation = Operation::new(flags, &spec.host, locations, &mut found);
        operation.check_compiled(locations, &mut found);
        let (flags, admin) = (&arguments.listen, &operation.admin);
        let listening = listening::params(flags, &spec.host, admin, locations, &mut found);
        (spec, operation, listening)
    });
    let ((spec, operation, listening), warnings) = found.accept(spec)?;
    Ok(Hosting {
        host: Host::builder()
            .source(Loader::with(arguments, spec, warnings))
            .listeners(listening.listeners)
            .code_cache(headwater_runtime::CodeCache::Default),
        announcement: "Listening on",
        operation,
    })
}
