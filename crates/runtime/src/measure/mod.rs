//! What the parts of the runtime cost. For `cargo xtask bench`.

mod attribution;
mod bare;
mod stock;

pub(crate) use self::attribution::scope;
pub use self::attribution::{AttributionCost, MeasureError, attribution_cost};
pub use self::bare::{BareInstance, BareService};
pub use self::stock::StockService;
