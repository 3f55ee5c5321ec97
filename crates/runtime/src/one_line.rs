/// Returns the whole of an error on one line, its root cause first. wasmtime puts a trap's
/// backtrace, over many lines, before the trap.
#[must_use]
pub fn one_line(error: &wasmtime::Error) -> String {
    let mut causes: Vec<String> = error
        .chain()
        .map(|cause| {
            cause
                .to_string()
                .split_whitespace()
                .collect::<Vec<_>>()
                .join(" ")
        })
        .collect();
    causes.reverse();
    causes.join("; ")
}
