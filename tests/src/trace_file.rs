//! The trace file: OTLP in JSON, one export request a line, as the OpenTelemetry collector's file
//! exporter writes it.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// All spans of a trace file.
#[derive(Debug, Default)]
pub struct TraceFile {
    spans: HashMap<String, Span>,
}

/// One span.
#[derive(Debug, Clone)]
pub struct Span {
    /// 32 hexadecimal digits.
    pub trace_id: String,
    /// 16 hexadecimal digits.
    pub span_id: String,
    /// 16 hexadecimal digits; `None` for a root span.
    pub parent_id: Option<String>,
    /// The span's name.
    pub name: String,
    /// The side of the request.
    pub kind: Kind,
    /// True if its status is an error.
    pub error: bool,
    attributes: HashMap<String, String>,
}

/// The kind of a span, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An incoming request.
    Server,
    /// An outgoing request.
    Client,
    /// Anything else.
    Other,
}

/// Reads a file whose writer has finished, and passes each span to `visit`: the file need not fit
/// into memory.
///
/// # Errors
///
/// Returns an error if it is missing, is not OTLP JSON, or `visit` fails.
pub fn each_span(path: impl AsRef<Path>, visit: impl FnMut(Span) -> Result<()>) -> Result<()> {
    let path = path.as_ref();
    let named = || format!("the trace file {}", path.display());
    let file = File::open(path).with_context(named)?;
    visit_lines(BufReader::new(file), visit).with_context(named)
}

fn visit_lines(text: impl BufRead, mut visit: impl FnMut(Span) -> Result<()>) -> Result<()> {
    for (index, line) in text.lines().enumerate() {
        let number = index + 1;
        let value: Value =
            serde_json::from_str(&line?).with_context(|| format!("line {number}"))?;
        for span in [&value]
            .into_iter()
            .flat_map(|request| elements(request, "resourceSpans"))
            .flat_map(|resource| elements(resource, "scopeSpans"))
            .flat_map(|scope| elements(scope, "spans"))
        {
            Span::read(span)
                .and_then(&mut visit)
                .with_context(|| format!("a span in line {number}: {span}"))?;
        }
    }
    Ok(())
}

impl TraceFile {
    /// Reads a file whose writer has finished.
    ///
    /// # Errors
    ///
    /// Returns an error if it is missing or is not OTLP JSON.
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        let mut file = Self::default();
        each_span(path, |span| file.add(span))?;
        Ok(file)
    }

    fn add(&mut self, span: Span) -> Result<()> {
        let id = span.span_id.clone();
        ensure!(
            self.spans.insert(id.clone(), span).is_none(),
            "span {id} is there twice"
        );
        Ok(())
    }

    /// Returns the span with this id.
    #[must_use]
    pub fn span(&self, id: &str) -> Option<&Span> {
        self.spans.get(id)
    }

    /// Returns all spans.
    pub fn spans(&self) -> impl Iterator<Item = &Span> {
        self.spans.values()
    }

    /// Returns the spans of incoming requests.
    pub fn servers(&self) -> impl Iterator<Item = &Span> {
        self.spans.values().filter(|span| span.kind == Kind::Server)
    }

    /// Returns the spans of outgoing requests.
    pub fn clients(&self) -> impl Iterator<Item = &Span> {
        self.spans.values().filter(|span| span.kind == Kind::Client)
    }

    /// Returns the server span of the request that was sent with this parent span.
    ///
    /// # Errors
    ///
    /// Returns an error if there is none.
    pub fn server_under(&self, parent_id: &str) -> Result<&Span> {
        self.servers()
            .find(|span| span.parent_id.as_deref() == Some(parent_id))
            .with_context(|| format!("no server span has the parent {parent_id}"))
    }
}

impl Span {
    fn read(value: &Value) -> Result<Self> {
        let text = |key: &str| value.get(key).and_then(Value::as_str).unwrap_or("");
        let id = |key: &str, digits: usize| {
            let id = text(key);
            ensure!(
                id.len() == digits && id.bytes().all(|byte| byte.is_ascii_hexdigit()),
                "`{key}` is not {digits} hexadecimal digits"
            );
            Ok(id.to_owned())
        };
        let attributes = elements(value, "attributes")
            .map(|attribute| {
                let key = attribute.get("key").and_then(Value::as_str);
                let value = attribute.get("value").and_then(any_value);
                Ok((
                    key.context("an attribute without a key")?.to_owned(),
                    value.context("an attribute without a value")?,
                ))
            })
            .collect::<Result<_>>()?;
        Ok(Self {
            trace_id: id("traceId", 32)?,
            span_id: id("spanId", 16)?,
            parent_id: match text("parentSpanId") {
                "" => None,
                _ => Some(id("parentSpanId", 16)?),
            },
            name: text("name").to_owned(),
            // The numbers in opentelemetry/proto/trace/v1/trace.proto.
            kind: match value.get("kind").and_then(Value::as_u64) {
                Some(2) => Kind::Server,
                Some(3) => Kind::Client,
                _ => Kind::Other,
            },
            error: value.pointer("/status/code").and_then(Value::as_u64) == Some(2),
            attributes,
        })
    }

    /// Returns an attribute's value as text.
    #[must_use]
    pub fn attribute(&self, key: &str) -> Option<&str> {
        self.attributes.get(key).map(String::as_str)
    }

    /// Returns all attributes, with their values as text.
    pub fn attributes(&self) -> impl Iterator<Item = (&str, &str)> {
        self.attributes
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()))
    }
}

fn elements<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    value
        .get(key)
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
}

/// Converts an `AnyValue`: an object with one member, named by the type.
fn any_value(value: &Value) -> Option<String> {
    let (_, inner) = value.as_object()?.iter().next()?;
    Some(match inner {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<TraceFile> {
        let mut file = TraceFile::default();
        visit_lines(text.as_bytes(), |span| file.add(span))?;
        Ok(file)
    }

    #[test]
    fn a_server_span_with_a_client_span_under_it_is_read() {
        let line = r#"{"resourceSpans":[{"resource":{},"scopeSpans":[{"spans":[
            {"traceId":"0af7651916cd43dd8448eb211c80319c","spanId":"00000000000000aa","parentSpanId":"","name":"GET","kind":2,
             "attributes":[{"key":"http.response.status_code","value":{"intValue":"200"}}]},
            {"traceId":"0af7651916cd43dd8448eb211c80319c","spanId":"00000000000000bb","parentSpanId":"00000000000000aa","name":"GET","kind":3,
             "status":{"code":2}}]}]}]}"#
            .replace('\n', "");
        let file = parse(&line).unwrap();
        let server = file.servers().next().unwrap();
        assert_eq!(server.attribute("http.response.status_code"), Some("200"));
        assert_eq!(server.parent_id, None);
        let client = file.clients().next().unwrap();
        assert_eq!(client.parent_id.as_deref(), Some("00000000000000aa"));
        assert!(client.error && !server.error);
    }

    #[test]
    fn ids_that_are_not_hexadecimal_are_an_error() {
        let line =
            r#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"AAEC","spanId":"x"}]}]}]}"#;
        assert!(parse(line).is_err());
    }
}
