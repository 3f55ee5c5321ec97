use super::settings;

settings! {
    /// What becomes of changes: the section `[reload]`. By SIGHUP the file and the guests are always read
    /// again.
    #[command(next_help_heading = "Reload")]
    pub struct ReloadSettings {
        /// Read the file and the guests again when they change [default: false]
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
