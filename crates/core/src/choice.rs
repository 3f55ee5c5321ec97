//! Settings with a fixed set of values. They are defined once, here, for the crate that acts on them and the
//! crate that reads them from files and flags, so that neither depends on the other.
//!
//! With the feature `settings`, files and flags name the values in lower case, and these comments are the
//! text of the help, the schema and the reference.

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
    /// The format of a line of the access log.
    pub enum AccessFormat {
        /// One JSON object.
        #[default]
        Json,
        /// The combined format of the Apache HTTP server.
        Combined,
    }
}

choice! {
    /// The format of the log.
    pub enum LogFormat {
        /// Plain text.
        #[default]
        Text,
        /// One JSON object per line.
        Json,
    }
}

choice! {
    /// The `service.name` of spans.
    pub enum ServiceName {
        /// The host's name.
        #[default]
        Host,
        /// The service's name.
        Service,
    }
}

choice! {
    /// The treatment of a `traceparent` that a guest sets on an outgoing request.
    pub enum GuestTraceparent {
        /// Send it.
        // An echo, the unchanged `traceparent` of the guest's request, is still replaced by that of the
        // outgoing request's own span, a child of the span that the guest named: the trace stays the same and
        // includes the outgoing request.
        #[default]
        Keep,
        /// Send the `traceparent` of the outgoing request's own span.
        Replace,
        /// Replace it, and link the outgoing request's span to the one that the guest named.
        Link,
    }
}

choice! {
    /// The attribution of outgoing requests if a guest's tasks can wake one another.
    // Does not affect other guests, or those of 0.2.
    pub enum AttributionMode {
        /// The request whose task makes the call.
        Task,
        /// The same, but ambiguous if the task may be working for another request.
        #[default]
        Careful,
        /// The only request in the instance, as with `serial`.
        Serial,
    }
}

choice! {
    /// The degree of compatibility with WAGI 0.8.1.
    pub enum Compat {
        /// Like WAGI 0.8.1, with its obvious bugs fixed.
        #[default]
        Default,
        /// Exactly like WAGI 0.8.1.
        Strict,
        /// Like the default, with additions that modules of WAGI 0.2 expect.
        #[cfg_attr(feature = "settings", serde(rename = "0.2"), value(name = "0.2"))]
        V0_2,
    }
}

choice! {
    /// The time at which a module's answer is sent.
    pub enum ResponseMode {
        /// After the module has ended.
        // A module that fails after its headers is a 500, as in WAGI.
        #[default]
        Buffer,
        /// While the module prints it.
        // If the module fails later, the answer is cut off. Nothing is sent until the module waits for
        // something, has printed 128 KiB or has computed for 20 milliseconds, so that a short answer is sent
        // whole.
        Stream,
    }
}

impl Compat {
    /// Returns how the answer is sent if the module's settings do not say.
    ///
    /// By default it is streamed: only then can a module print as much as under WAGI in bounded memory and
    /// within the request's timeout. The answer of a module that ends soon is still sent whole, or is a 500.
    /// In strict mode it is buffered.
    #[must_use]
    pub const fn response(self) -> ResponseMode {
        match self {
            Self::Strict => ResponseMode::Buffer,
            Self::Default | Self::V0_2 => ResponseMode::Stream,
        }
    }
}
