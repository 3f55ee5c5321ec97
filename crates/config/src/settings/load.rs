use super::{settings, words};

settings! {
    /// The time at which a service's guest is loaded, for components and modules.
    #[command(next_help_heading = "Loading, for services without their own settings")]
    pub struct LoadSettings {
        /// When to compile and link a guest: at start, where an error prevents the start, or at the
        /// first request, which waits for it [default: eager]
        #[arg(long, value_name = "WHEN", env = "HEADWATER_LOAD")]
        pub load: Option<LoadTime>,
    }
}

words! {
    /// The time at which a guest is loaded.
    pub enum LoadTime {
        /// At start, and at a reload.
        Eager,
        /// At the first request.
        Lazy,
    }
}
