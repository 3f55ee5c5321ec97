//! Traces in a file, as the OpenTelemetry collector's `file` exporter writes them: each line one
//! `ExportTraceServiceRequest` in the JSON mapping of OTLP
//! (<https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding>).

use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::trace::{BatchConfigBuilder, BatchSpanProcessor, SpanData, SpanExporter};

use crate::output::OutputWriter;
use crate::resource::Resources;

/// The time that a finished span waits for others to share its line: half of the 200 ms in which a
/// reader that follows the file should see it.
const DELAY: Duration = Duration::from_millis(100);
/// The number of finished spans that may wait, at about 400 bytes each without attributes. Enough
/// for 80,000 spans a second; beyond that spans are dropped, and the log says so.
const QUEUE: usize = 8192;

/// Returns a processor that makes lines on its own thread and passes them to `writer`.
pub(crate) fn processor(writer: OutputWriter, resources: Resources) -> BatchSpanProcessor {
    let config = BatchConfigBuilder::default()
        .with_scheduled_delay(DELAY)
        .with_max_queue_size(QUEUE)
        .with_max_export_batch_size(512)
        .build();
    let exporter = LineExporter { writer, resources };
    BatchSpanProcessor::new(exporter, config)
}

/// Makes a line of each batch.
#[derive(Debug)]
struct LineExporter {
    writer: OutputWriter,
    resources: Resources,
}

impl SpanExporter for LineExporter {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = u32::try_from(batch.len()).unwrap_or(u32::MAX);
        let mut resource_spans = Vec::new();
        for (service, spans) in self.resources.split(batch) {
            let resource = self.resources.of(service.as_deref());
            let resource = ResourceAttributesWithSchema::from(&*resource);
            resource_spans.extend(group_spans_by_resource_and_scope(spans, &resource));
        }
        let request = ExportTraceServiceRequest { resource_spans };
        let mut line = serde_json::to_vec(&request)
            .map_err(|error| OTelSdkError::InternalFailure(error.to_string()))?;
        line.push(b'\n');
        self.writer.push_many(&line, spans);
        Ok(())
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.resources.set_host(resource);
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{BufRead, BufReader};
    use std::path::Path;
    use std::time::Instant;

    use opentelemetry_sdk::trace::SdkTracerProvider;
    use serde_json::Value;

    use super::*;
    use crate::output::{Output, OutputCounts};
    use crate::test_support::{Incoming, dispatch, exact, outgoing};
    use crate::{FileConfig, ServiceName};

    const LONG: Duration = Duration::from_secs(60);

    struct Traced {
        provider: SdkTracerProvider,
        writer: OutputWriter,
    }

    impl Traced {
        fn new(path: &Path, work: impl FnOnce()) -> Self {
            let writer = OutputWriter::file(Output::TraceFile, &FileConfig::at(path)).unwrap();
            let provider = SdkTracerProvider::builder()
                .with_span_processor(processor(writer.clone(), Resources::new(ServiceName::Host)))
                .build();
            tracing::dispatcher::with_default(&dispatch(&provider), work);
            Self { provider, writer }
        }

        fn end(self) -> OutputCounts {
            self.provider.shutdown().unwrap();
            assert!(self.writer.flush(LONG));
            self.writer.counts()
        }
    }

    fn request(uri: &str) {
        let incoming = Incoming::get(uri);
        let mut server = incoming.start();
        let scope = incoming.scope(&server);
        drop(outgoing(&exact(&scope), "http://stock.example/"));
        server.response(http::StatusCode::OK);
    }

    fn spans(line: &str) -> Vec<Value> {
        let line: Value = serde_json::from_str(line).unwrap();
        line["resourceSpans"][0]["scopeSpans"][0]["spans"]
            .as_array()
            .unwrap()
            .clone()
    }

    #[test]
    fn each_line_is_otlp_json_with_ids_in_hex_and_large_integers_as_text() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("traces.jsonl");
        std::fs::write(&path, "what was there before\n").unwrap();
        Traced::new(&path, || request("http://shop.example/api/items")).end();
        let text = std::fs::read_to_string(&path).unwrap();
        let [before, line] = text.lines().collect::<Vec<_>>()[..] else {
            panic!("{text}");
        };
        assert_eq!(before, "what was there before");
        serde_json::from_str::<ExportTraceServiceRequest>(line).unwrap();

        let spans = spans(line);
        assert_eq!(spans.len(), 2);
        let (client, server) = (&spans[0], &spans[1]);
        assert_eq!(client["parentSpanId"], server["spanId"]);
        assert_eq!(client["traceId"], server["traceId"]);
        assert_eq!((&server["kind"], &client["kind"]), (&2.into(), &3.into()));
        let hex = |value: &Value, len| {
            let text = value.as_str().unwrap();
            text.len() == len
                && text
                    .bytes()
                    .all(|digit| b"0123456789abcdef".contains(&digit))
        };
        assert!(hex(&server["traceId"], 32) && hex(&server["spanId"], 16));
        let start: u64 = server["startTimeUnixNano"]
            .as_str()
            .unwrap()
            .parse()
            .unwrap();
        let end: u64 = server["endTimeUnixNano"].as_str().unwrap().parse().unwrap();
        assert!(start > 0 && start <= end);
        let attributes = server["attributes"].as_array().unwrap();
        let status = attributes
            .iter()
            .find(|attribute| attribute["key"] == "http.response.status_code")
            .unwrap();
        assert_eq!(status["value"]["intValue"], "200");
    }

    #[test]
    fn a_reader_that_follows_the_file_sees_a_finished_request_without_a_shutdown() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("traces.jsonl");
        let traced = Traced::new(&path, || request("http://shop.example/"));
        let mut reader = BufReader::new(File::open(&path).unwrap());
        let mut line = String::new();
        let started = Instant::now();
        while !line.ends_with('\n') {
            assert!(started.elapsed() < LONG, "never written");
            if reader.read_line(&mut line).unwrap() == 0 {
                std::thread::yield_now();
            }
        }
        assert!(!spans(&line).is_empty());
        drop(traced);
    }

    #[test]
    fn lines_of_many_threads_never_interleave_and_none_is_lost() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("traces.jsonl");
        let traced = Traced::new(&path, || {
            let dispatch = tracing::dispatcher::get_default(Clone::clone);
            std::thread::scope(|threads| {
                for _ in 0..8 {
                    threads.spawn(|| {
                        tracing::dispatcher::with_default(&dispatch, || {
                            (0..100).for_each(|_| request("http://shop.example/"));
                        });
                    });
                }
            });
        });
        assert_eq!(traced.end().written, 8 * 100 * 2);
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text.lines().flat_map(spans).count(), 8 * 100 * 2);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn spans_that_cannot_be_written_are_counted() {
        let traced = Traced::new(Path::new("/dev/full"), || request("http://shop.example/"));
        let counts = OutputCounts {
            written: 0,
            lost: 2,
        };
        assert_eq!(traced.end(), counts);
    }
}
