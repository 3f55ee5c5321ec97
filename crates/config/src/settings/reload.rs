use super::settings;

settings! {
    /// Reloading: the section `[reload]`. SIGHUP always reloads the file and the guests.
    #[command(next_help_heading = "Reload")]
    pub struct ReloadSettings {
        /// Reload the file and the guests when they change [default: false]
        #[arg(
            long,
            value_name = "BOOL",
            env = "HEADWATER_WATCH",
            num_args = 0..=1,
            require_equals = true,
            default_missing_value = "true"
        )]
        pub watch: Option<bool>,
    }
}
