//! What the parts of the runtime cost. For `cargo xtask bench`.

mod attribution;
mod stock;

pub use self::attribution::{AttributionCost, MeasureError, attribution_cost};
#[cfg(test)]
pub(crate) use self::attribution::{scope, state};
pub use self::stock::StockService;
