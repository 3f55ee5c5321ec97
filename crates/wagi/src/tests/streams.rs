use std::io;
use std::sync::Mutex;

use futures::{StreamExt, stream};
use headwater_core::BodyError;
use http_body::Frame;
use http_body_util::StreamBody;
use tracing_subscriber::fmt::MakeWriter;

use super::*;

/// Reads stdin to its end in pieces of 64 KiB and prints the number of bytes as 16 hexadecimal
/// digits.
fn counting() -> String {
    program(
        &format!(
            r#"(data (i32.const 1024) "{}")
            (data (i32.const 1100) "0123456789abcdef")"#,
            HEAD.escape_default()
        ),
        r#"
        (local $total i64) (local $digit i32)
        (block $end (loop $more
            (i32.store (i32.const 16) (i32.const 65536)) (i32.store (i32.const 20) (i32.const 65536))
            (if (call $fd_read (i32.const 0) (i32.const 16) (i32.const 1) (i32.const 24))
                (then unreachable))
            (br_if $end (i32.eqz (i32.load (i32.const 24))))
            (local.set $total (i64.add (local.get $total) (i64.load32_u (i32.const 24))))
            (br $more)))
        (local.set $digit (i32.const 16))
        (loop $more
            (local.set $digit (i32.sub (local.get $digit) (i32.const 1)))
            (i32.store8 (i32.add (i32.const 1050) (local.get $digit))
                (i32.load8_u (i32.add (i32.const 1100)
                    (i32.wrap_i64 (i64.and (local.get $total) (i64.const 15))))))
            (local.set $total (i64.shr_u (local.get $total) (i64.const 4)))
            (br_if $more (local.get $digit)))
        (call $print (i32.const 1024) (i32.const 42))"#,
    )
}

fn post(body: Body) -> Request<Body> {
    Request::post("http://localhost/")
        .header("content-length", 8 << 20)
        .body(body)
        .unwrap()
}

#[tokio::test]
async fn a_large_body_streams_to_a_module_that_reads() {
    let module = engine().load(&counting());
    let chunk = Bytes::from(vec![b'x'; 10_000]);
    let chunks = (8 << 20) / chunk.len();
    let rest = chunk.slice(..(8 << 20) % chunk.len());
    // The body yields in between, as a connection does.
    let frames =
        stream::iter(std::iter::repeat_n(chunk, chunks).chain([rest])).then(|data| async {
            tokio::task::yield_now().await;
            Ok::<_, BodyError>(Frame::data(data))
        });
    let response = send(
        &module,
        post(BodyExt::boxed_unsync(StreamBody::new(frames))),
    )
    .await;
    assert_eq!(response.unwrap().body(), &format!("{:016x}", 8 << 20));
}

#[tokio::test]
async fn a_module_that_never_reads_answers_all_the_same() {
    let module = engine().load(&printing(&format!("{HEAD}done"), ""));
    // A body that never sends anything.
    let body = BodyExt::boxed_unsync(StreamBody::new(stream::pending::<Result<_, BodyError>>()));
    assert_eq!(send(&module, post(body)).await.unwrap().body(), "done");
}

#[tokio::test]
async fn a_body_that_breaks_off_is_a_read_error() {
    let module = engine().load(&counting());
    let frames = stream::iter([
        Ok(Frame::data(Bytes::from_static(b"abc"))),
        Err(BodyError::from("reset")),
    ]);
    let body = BodyExt::boxed_unsync(StreamBody::new(frames));
    // The guest traps on the error number.
    assert_eq!(send(&module, post(body)).await.unwrap_err().kind(), "trap");
}

#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl io::Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Written {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn stderr_is_log_lines_of_the_request() {
    let written = Written::default();
    let subscriber = tracing_subscriber::fmt()
        .json()
        .with_max_level(tracing::Level::INFO)
        .with_writer(written.clone())
        .finish();
    let module = engine().load(&printing(
        "content-type: t\n\n",
        // Prints the text to stderr, too.
        "(drop (call $fd_write (i32.const 2) (i32.const 0) (i32.const 1) (i32.const 8)))",
    ));
    let scope = scope(None);
    let id = scope.id().to_string();
    // While a process has only one subscriber, tracing caches for all threads whether the first
    // thread that reaches an event wants it; other tests have no subscriber.
    let _another = tracing::Dispatch::new(tracing::subscriber::NoSubscriber::default());
    let guard = tracing::subscriber::set_default(subscriber);
    module
        .handle(get("http://localhost/"), scope)
        .await
        .unwrap();
    drop(guard);
    let log = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
    let line = log
        .lines()
        .find(|line| line.contains("content-type: t"))
        .expect(&log);
    for part in [
        r#""target":"headwater::guest""#,
        r#""service":"guest""#,
        r#""stream":"stderr""#,
        &format!(r#""request_id":"{id}""#),
    ] {
        assert!(line.contains(part), "{part}: {line}");
    }
}
