use std::sync::Arc;

use headwater_core::{Body, Fault, Handler, HandlerFuture, RequestScope};
use http::{Request, Response};

use crate::WagiModule;
use crate::dynamic::{self, RoutesError};
use crate::route::Route;
use crate::settings::Compat;

/// A route of a module, and the handler for it.
#[derive(Clone)]
pub struct Mount {
    /// The route in WAGI's notation.
    pub pattern: String,
    /// The export that answers.
    pub entrypoint: String,
    /// The handler of the route.
    pub handler: Arc<dyn Handler>,
    /// The reason why every answer is a 500, or `None` if the route works.
    pub problem: Option<String>,
}

impl WagiModule {
    /// Returns the routes of a module whose own route is `route`, in the order in which they are
    /// tried: those from `_routes`, the last one first, then its own.
    ///
    /// A module whose `_routes` fails answers 500 at its own route, so that no other module answers
    /// in its place; other modules are not affected. A route whose entrypoint is missing answers
    /// 500, too.
    ///
    /// # Errors
    ///
    /// Returns an error if `_routes` fails in strict mode: under WAGI this kept the server from
    /// starting.
    pub async fn mount(&self, route: &str) -> Result<Vec<Mount>, RoutesError> {
        let own = self.settings().entrypoint.clone();
        let mut mounts = match dynamic::has_routes(self.core()) {
            false => Vec::new(),
            true => match dynamic::ask(self.prepared().clone()).await {
                Ok(routes) => routes,
                Err(error) if self.settings().compat == Compat::Strict => return Err(error),
                Err(error) => return Ok(vec![unavailable(route, &own, error.to_string())]),
            },
        };
        mounts.reverse();
        let compat = self.settings().compat;
        let mounts = mounts.into_iter().map(|dynamic| {
            let pattern = Route::parse(route).below(&dynamic.pattern, compat);
            self.at(&pattern, &dynamic.entrypoint)
        });
        Ok(mounts.chain([self.at(route, &own)]).collect())
    }

    fn at(&self, pattern: &str, entrypoint: &str) -> Mount {
        match self.with_entrypoint(entrypoint) {
            Ok(module) => Mount {
                pattern: pattern.to_owned(),
                entrypoint: entrypoint.to_owned(),
                handler: Arc::new(module),
                problem: None,
            },
            Err(error) => unavailable(pattern, entrypoint, error.to_string()),
        }
    }
}

fn unavailable(pattern: &str, entrypoint: &str, problem: String) -> Mount {
    Mount {
        pattern: pattern.to_owned(),
        entrypoint: entrypoint.to_owned(),
        handler: Arc::new(Unavailable(problem.as_str().into())),
        problem: Some(problem),
    }
}

/// Answers 500 for a route that cannot be served.
struct Unavailable(Arc<str>);

impl Handler for Unavailable {
    fn handle(&self, _request: Request<Body>, _scope: Arc<RequestScope>) -> HandlerFuture {
        let fault = Fault::trap().caused_by(self.0.to_string());
        Box::pin(async { Err(fault) })
    }

    fn wants_introduction(&self) -> bool {
        false
    }
}

/// WAGI's `/healthz`: answers 200 and `OK` to every method.
#[derive(Debug, Clone, Copy)]
pub struct Health;

impl Health {
    /// The route. It is matched before all others.
    pub const ROUTE: &str = "/healthz";
}

impl Handler for Health {
    fn handle(&self, _request: Request<Body>, _scope: Arc<RequestScope>) -> HandlerFuture {
        Box::pin(async { Ok(Response::new(headwater_core::full("OK"))) })
    }

    fn wants_introduction(&self) -> bool {
        false
    }
}

headwater_core::debug_fields!(Mount {
    pattern,
    entrypoint,
    problem
});
