use super::settings;

settings! {
    /// Reloading: the section `[reload]`. SIGHUP always reloads the file and the guests.
    #[command(next_help_heading = "Reload")]
    pub struct ReloadSettings {
        /// Reload the file and the guests when they change [default: false]
        #[switch("HEADWATER_WATCH")]
        pub watch: Option<bool>,
    }
}
