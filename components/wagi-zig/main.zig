//! A WAGI module in Zig, on WASI's functions alone, so that it builds with every Zig of these years. It
//! ends by `proc_exit(0)`, as programs of `zig build-exe` do, which was a failure under WAGI.
//!
//! Answers `text/plain`: `Hello from Zig!`, the length of the request's body, and the sum of its bytes. What
//! it prints are two buffers at a time.

const Vector = extern struct { at: [*]const u8, length: usize };

extern "wasi_snapshot_preview1" fn fd_write(fd: i32, vectors: [*]const Vector, count: usize, done: *usize) u16;
extern "wasi_snapshot_preview1" fn fd_read(fd: i32, vectors: [*]const Vector, count: usize, done: *usize) u16;
extern "wasi_snapshot_preview1" fn proc_exit(code: u32) noreturn;

fn line(text: []const u8) void {
    const vectors = [2]Vector{
        .{ .at = text.ptr, .length = text.len },
        .{ .at = "\n", .length = 1 },
    };
    var done: usize = 0;
    if (fd_write(1, &vectors, 2, &done) != 0 or done != text.len + 1) proc_exit(1);
}

fn number(name: []const u8, value: u64) void {
    var text: [64]u8 = undefined;
    var at: usize = text.len;
    var rest = value;
    while (true) {
        at -= 1;
        text[at] = '0' + @as(u8, @intCast(rest % 10));
        rest /= 10;
        if (rest == 0) break;
    }
    for (0..name.len) |i| text[at - name.len + i] = name[i];
    line(text[at - name.len ..]);
}

var buffer: [65536]u8 = undefined;

pub export fn _start() void {
    var length: u64 = 0;
    var sum: u64 = 0;
    while (true) {
        const vectors = [1]Vector{.{ .at = &buffer, .length = buffer.len }};
        var done: usize = 0;
        if (fd_read(0, &vectors, 1, &done) != 0) proc_exit(2);
        if (done == 0) break;
        length += done;
        for (buffer[0..done]) |byte| sum += byte;
    }
    line("Content-Type: text/plain");
    line("");
    line("Hello from Zig!");
    number("body: ", length);
    number("sum: ", sum);
    proc_exit(0);
}
