//! Traces in a file, as the OpenTelemetry collector's `file` exporter writes them: each line one
//! `ExportTraceServiceRequest` in the JSON mapping of OTLP
//! (<https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding>).

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::trace::{BatchConfigBuilder, BatchSpanProcessor, SpanData, SpanExporter};

use crate::TelemetryError;

/// How long a finished span waits for others to share its line. Half of the 200 ms in which a
/// reader that follows the file should see it.
const DELAY: Duration = Duration::from_millis(100);
/// How many finished spans may wait, at about 400 bytes each with no attributes. Enough for 80,000
/// spans a second; beyond that spans are dropped, and the log says so.
const QUEUE: usize = 8192;

/// A processor that appends to the file at `path`, on a thread of its own.
pub(crate) fn processor(path: &Path) -> Result<BatchSpanProcessor, TelemetryError> {
    let file = OpenOptions::new()
        .append(true)
        .create(true)
        .open(path)
        .map_err(|source| TelemetryError::TraceFile {
            path: path.to_owned(),
            source,
        })?;
    let config = BatchConfigBuilder::default()
        .with_scheduled_delay(DELAY)
        .with_max_queue_size(QUEUE)
        .with_max_export_batch_size(512)
        .build();
    Ok(BatchSpanProcessor::new(
        FileExporter::new(path, file),
        config,
    ))
}

#[derive(Debug)]
struct FileExporter {
    path: PathBuf,
    lines: Mutex<Lines<File>>,
    resource: ResourceAttributesWithSchema,
}

/// Whole lines, each in one write.
#[derive(Debug)]
struct Lines<W> {
    writer: W,
    buffer: Vec<u8>,
    /// The last write failed, and may have left a part of its line.
    torn: bool,
}

impl FileExporter {
    fn new(path: &Path, file: File) -> Self {
        Self {
            path: path.to_owned(),
            lines: Mutex::new(Lines::new(file)),
            resource: ResourceAttributesWithSchema::default(),
        }
    }
}

impl SpanExporter for FileExporter {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        let request = ExportTraceServiceRequest {
            resource_spans: group_spans_by_resource_and_scope(batch, &self.resource),
        };
        let mut lines = self
            .lines
            .lock()
            .map_err(|error| OTelSdkError::InternalFailure(error.to_string()))?;
        let was_torn = lines.torn;
        match lines.append(&request) {
            Ok(()) if was_torn => {
                tracing::info!(path = %self.path.display(), "traces are written again");
            }
            // Once per failure, not once per line. The processor would log an `Err` each time.
            Err(error) if !was_torn => tracing::error!(
                path = %self.path.display(), %error, spans,
                "traces cannot be written and are lost until they can; requests are not affected"
            ),
            Ok(()) | Err(_) => {}
        }
        Ok(())
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.resource = resource.into();
    }
}

impl<W: Write> Lines<W> {
    fn new(writer: W) -> Self {
        Self {
            writer,
            buffer: Vec::new(),
            torn: false,
        }
    }

    fn append(&mut self, request: &ExportTraceServiceRequest) -> io::Result<()> {
        self.buffer.clear();
        if self.torn {
            // Ends what is left of the line before, so that this one can be read.
            self.buffer.push(b'\n');
        }
        serde_json::to_writer(&mut self.buffer, request)?;
        self.buffer.push(b'\n');
        let written = self
            .writer
            .write_all(&self.buffer)
            .and_then(|()| self.writer.flush());
        self.torn = written.is_err();
        written
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::time::Instant;

    use opentelemetry_sdk::trace::SdkTracerProvider;
    use serde_json::Value;

    use super::*;
    use crate::test_support::{Buffer, Incoming, dispatch, exact, outgoing};

    fn traced(path: &Path, work: impl FnOnce()) -> SdkTracerProvider {
        let provider = SdkTracerProvider::builder()
            .with_span_processor(processor(path).unwrap())
            .build();
        tracing::dispatcher::with_default(&dispatch(&provider), work);
        provider
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
        traced(&path, || request("http://shop.example/api/items"))
            .shutdown()
            .unwrap();
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
        let provider = traced(&path, || request("http://shop.example/"));
        let mut reader = BufReader::new(File::open(&path).unwrap());
        let mut line = String::new();
        let started = Instant::now();
        while !line.ends_with('\n') {
            assert!(started.elapsed() < Duration::from_secs(60), "never written");
            if reader.read_line(&mut line).unwrap() == 0 {
                std::thread::yield_now();
            }
        }
        assert!(!spans(&line).is_empty());
        drop(provider);
    }

    #[test]
    fn lines_of_many_threads_never_interleave_and_none_is_lost() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("traces.jsonl");
        let provider = traced(&path, || {
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
        provider.shutdown().unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text.lines().flat_map(spans).count(), 8 * 100 * 2);
    }

    #[test]
    fn a_line_after_a_failed_one_can_be_read() {
        /// Takes half of the first line, then fails, then works.
        struct Flaky(Buffer, u32);
        impl Write for Flaky {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.1 += 1;
                match self.1 {
                    1 => self.0.write(&bytes[..bytes.len() / 2]),
                    2 => Err(io::ErrorKind::StorageFull.into()),
                    _ => self.0.write(bytes),
                }
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let buffer = Buffer::default();
        let mut lines = Lines::new(Flaky(buffer.clone(), 0));
        let request = ExportTraceServiceRequest::default();
        lines.append(&request).unwrap_err();
        lines.append(&request).unwrap();
        lines.append(&request).unwrap();
        let text = buffer.text();
        let readable = text
            .lines()
            .filter(|line| serde_json::from_str::<Value>(line).is_ok());
        assert_eq!((readable.count(), text.lines().count()), (2, 3), "{text}");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_failure_to_write_is_reported_once() {
        let full = Path::new("/dev/full");
        let exporter = FileExporter::new(full, OpenOptions::new().append(true).open(full).unwrap());
        let log = Buffer::default();
        let writer = log.clone();
        let (layer, _level) =
            crate::log::layer(&crate::LogConfig::default(), move || writer.clone()).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        use tracing_subscriber::layer::SubscriberExt;
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            for _ in 0..3 {
                runtime.block_on(exporter.export(Vec::new())).unwrap();
            }
        });
        assert_eq!(
            log.text().matches("cannot be written").count(),
            1,
            "{}",
            log.text()
        );
    }

    #[test]
    fn a_file_that_cannot_be_opened_is_named() {
        let error = processor(Path::new("/no/such/directory/traces")).unwrap_err();
        assert!(
            error.to_string().contains("/no/such/directory/traces"),
            "{error}"
        );
    }
}
