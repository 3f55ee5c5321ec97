//! The names of the cases of `error-code`.
//!
//! Both versions of `wasi:http` have the same cases, and the bindings of each define their own
//! type.

use crate::json;

/// Defines a function that returns the name of an `error-code`'s case, and its payload as JSON:
/// `error_code!(name_of, types)`, where `types` is the binding's module in scope.
#[macro_export]
macro_rules! error_code {
    ($function:ident, $types:ident) => {
        fn $function(code: $types::ErrorCode) -> (&'static str, String) {
            use $types::ErrorCode as E;
            let none = |name| (name, "null".to_owned());
            let size = |name, payload: $types::FieldSizePayload| {
                (
                    name,
                    $crate::field_size(payload.field_name, payload.field_size),
                )
            };
            match code {
                E::DnsTimeout => none("DNS-timeout"),
                E::DnsError(it) => ("DNS-error", $crate::dns(it.rcode, it.info_code)),
                E::DestinationNotFound => none("destination-not-found"),
                E::DestinationUnavailable => none("destination-unavailable"),
                E::DestinationIpProhibited => none("destination-IP-prohibited"),
                E::DestinationIpUnroutable => none("destination-IP-unroutable"),
                E::ConnectionRefused => none("connection-refused"),
                E::ConnectionTerminated => none("connection-terminated"),
                E::ConnectionTimeout => none("connection-timeout"),
                E::ConnectionReadTimeout => none("connection-read-timeout"),
                E::ConnectionWriteTimeout => none("connection-write-timeout"),
                E::ConnectionLimitReached => none("connection-limit-reached"),
                E::TlsProtocolError => none("TLS-protocol-error"),
                E::TlsCertificateError => none("TLS-certificate-error"),
                E::TlsAlertReceived(it) => (
                    "TLS-alert-received",
                    $crate::alert(it.alert_id, it.alert_message),
                ),
                E::HttpRequestDenied => none("HTTP-request-denied"),
                E::HttpRequestLengthRequired => none("HTTP-request-length-required"),
                E::HttpRequestBodySize(it) => ("HTTP-request-body-size", $crate::number(it)),
                E::HttpRequestMethodInvalid => none("HTTP-request-method-invalid"),
                E::HttpRequestUriInvalid => none("HTTP-request-URI-invalid"),
                E::HttpRequestUriTooLong => none("HTTP-request-URI-too-long"),
                E::HttpRequestHeaderSectionSize(it) => {
                    ("HTTP-request-header-section-size", $crate::number(it))
                }
                E::HttpRequestHeaderSize(None) => none("HTTP-request-header-size"),
                E::HttpRequestHeaderSize(Some(it)) => size("HTTP-request-header-size", it),
                E::HttpRequestTrailerSectionSize(it) => {
                    ("HTTP-request-trailer-section-size", $crate::number(it))
                }
                E::HttpRequestTrailerSize(it) => size("HTTP-request-trailer-size", it),
                E::HttpResponseIncomplete => none("HTTP-response-incomplete"),
                E::HttpResponseHeaderSectionSize(it) => {
                    ("HTTP-response-header-section-size", $crate::number(it))
                }
                E::HttpResponseHeaderSize(it) => size("HTTP-response-header-size", it),
                E::HttpResponseBodySize(it) => ("HTTP-response-body-size", $crate::number(it)),
                E::HttpResponseTrailerSectionSize(it) => {
                    ("HTTP-response-trailer-section-size", $crate::number(it))
                }
                E::HttpResponseTrailerSize(it) => size("HTTP-response-trailer-size", it),
                E::HttpResponseTransferCoding(it) => {
                    ("HTTP-response-transfer-coding", $crate::text(it))
                }
                E::HttpResponseContentCoding(it) => {
                    ("HTTP-response-content-coding", $crate::text(it))
                }
                E::HttpResponseTimeout => none("HTTP-response-timeout"),
                E::HttpUpgradeFailed => none("HTTP-upgrade-failed"),
                E::HttpProtocolError => none("HTTP-protocol-error"),
                E::LoopDetected => none("loop-detected"),
                E::ConfigurationError => none("configuration-error"),
                E::InternalError(it) => ("internal-error", $crate::text(it)),
            }
        }
    };
}

/// Formats a number, or `null`.
pub fn number<T: ToString>(value: Option<T>) -> String {
    json::optional(value, |to, text| to.push_str(text))
}

/// Formats a string, or `null`.
pub fn text(value: Option<String>) -> String {
    json::optional(value, json::string)
}

/// Formats the payload of `DNS-error`.
pub fn dns(rcode: Option<String>, info_code: Option<u16>) -> String {
    let (rcode, info_code) = (text(rcode), number(info_code));
    format!("{{\"rcode\":{rcode},\"info-code\":{info_code}}}")
}

/// Formats the payload of `TLS-alert-received`.
pub fn alert(id: Option<u8>, message: Option<String>) -> String {
    let (id, message) = (number(id), text(message));
    format!("{{\"alert-id\":{id},\"alert-message\":{message}}}")
}

/// Formats the payload of the cases about a field's size.
pub fn field_size(name: Option<String>, size: Option<u32>) -> String {
    let (name, size) = (text(name), number(size));
    format!("{{\"field-name\":{name},\"field-size\":{size}}}")
}
