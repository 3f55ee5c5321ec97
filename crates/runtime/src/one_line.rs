/// The whole of an error on one line, what is at its root first. wasmtime puts a trap's backtrace
/// before the trap, over many lines.
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
