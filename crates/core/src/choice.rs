//! Settings that choose one of several ways. Each is defined here once: for the crate that acts on it and for
//! the crate that reads it from files and flags, which are not to depend on each other.
//!
//! Where the feature `settings` is on, they are read from files and flags by their names in lower case, and
//! their documentation is the text of the help, the schema and the reference.

macro_rules! choice {
    (
        $(#[$meta:meta])*
        pub enum $name:ident {
            $($(#[$variant_meta:meta])* $variant:ident,)+
        }
    ) => {
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
        #[cfg_attr(
            feature = "settings",
            derive(clap::ValueEnum, serde::Deserialize, schemars::JsonSchema),
            serde(rename_all = "lowercase"),
            schemars(inline)
        )]
        $(#[$meta])*
        pub enum $name {
            $($(#[$variant_meta])* $variant,)+
        }
    };
}

choice! {
    /// How a line of the access log is written.
    pub enum AccessFormat {
        /// One JSON object.
        #[default]
        Json,
        /// The combined format of the Apache HTTP server.
        Combined,
    }
}

choice! {
    /// How the log is written.
    pub enum LogFormat {
        /// As text.
        #[default]
        Text,
        /// As one JSON object a line.
        Json,
    }
}

choice! {
    /// Whose name spans have as `service.name`.
    pub enum ServiceName {
        /// The host's.
        #[default]
        Host,
        /// The service's.
        Service,
    }
}

choice! {
    /// What becomes of a `traceparent` that a guest sets on an outgoing request.
    pub enum GuestTraceparent {
        /// It is sent.
        // But where it is the unchanged `traceparent` that the guest was given with its request, the outgoing
        // request carries that of its own span, which is a child of what the guest named: the trace is the
        // same, and has the outgoing request.
        #[default]
        Keep,
        /// The outgoing request carries that of its own span.
        Replace,
        /// Likewise, and the span has a link to the guest's.
        Link,
    }
}

choice! {
    /// Whom outgoing requests are attributed to where a guest's tasks can wake one another.
    // Other guests, and those of 0.2, are not concerned.
    pub enum AttributionMode {
        /// The request whose task makes the call.
        Task,
        /// The same; but the call is ambiguous where the task may be doing another's work.
        #[default]
        Careful,
        /// The one request that is in the instance, as with `serial`.
        Serial,
    }
}

choice! {
    /// How closely the ways of WAGI 0.8.1 are followed.
    pub enum Compat {
        /// But put right where WAGI was plainly broken.
        #[default]
        Default,
        /// To the letter.
        Strict,
        /// As the default, with what modules of WAGI 0.2 look for.
        #[cfg_attr(feature = "settings", serde(rename = "0.2"), value(name = "0.2"))]
        V0_2,
    }
}

choice! {
    /// When a module's answer is sent.
    pub enum ResponseMode {
        /// When the module has ended.
        // A module that fails after its headers is a 500, as in WAGI.
        #[default]
        Buffer,
        /// While the module prints it.
        // What a module that fails later has sent by then is cut. Until the module waits for something, has
        // printed 128 KiB or computed for 20 milliseconds nothing is sent, so that a short answer is sent whole.
        Stream,
    }
}

impl Compat {
    /// How the answer is sent unless the module's settings say it.
    ///
    /// While it is printed, because nothing else lets a module print as much as it could under WAGI in bounded
    /// memory, and within the request's timeout. A module that is soon done notices nothing: its answer is sent
    /// whole, or is a 500. Strictly, when it has ended.
    #[must_use]
    pub const fn response(self) -> ResponseMode {
        match self {
            Self::Strict => ResponseMode::Buffer,
            Self::Default | Self::V0_2 => ResponseMode::Stream,
        }
    }
}
