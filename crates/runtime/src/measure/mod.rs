//! What the parts of the runtime cost. For `cargo xtask bench`.

mod attribution;
mod bare;
mod engine;
mod ledger;
mod stock;
mod wakes;

pub(crate) use self::attribution::scope;
#[cfg(test)]
pub(crate) use self::attribution::state;
pub use self::attribution::{AttributionCost, MeasureError, attribution_cost};
pub use self::bare::{BareInstance, BareService};
pub use self::engine::engine_on;
pub use self::ledger::{LedgerCost, ledger_cost};
pub use self::stock::StockService;
pub use self::wakes::{WakesCost, wakes_cost};
