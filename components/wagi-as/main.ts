// A WAGI module in AssemblyScript. As `as-wasi` does, it prints a line as one `fd_write` of two buffers,
// the text and its end, and does not look at how much was taken.
//
// Answers `text/plain`: `Hello from AssemblyScript!`, and the length of the request's body and the sum of its
// bytes, which it reads into two buffers at once.

@external("wasi_snapshot_preview1", "fd_write")
declare function fd_write(fd: i32, vectors: usize, count: i32, done: usize): i32;

@external("wasi_snapshot_preview1", "fd_read")
declare function fd_read(fd: i32, vectors: usize, count: i32, done: usize): i32;

const VECTORS = memory.data(16);
const DONE = memory.data(4);
const END = memory.data<u8>([10]);
const FIRST: usize = memory.data(16);
const SECOND: usize = memory.data(32768);

function line(text: string): void {
  const bytes = String.UTF8.encode(text);
  store<u32>(VECTORS, changetype<usize>(bytes) as u32, 0);
  store<u32>(VECTORS, bytes.byteLength as u32, 4);
  store<u32>(VECTORS, END as u32, 8);
  store<u32>(VECTORS, 1, 12);
  fd_write(1, VECTORS, 2, DONE);
}

export function _start(): void {
  let length: u64 = 0;
  let sum: u64 = 0;
  while (true) {
    store<u32>(VECTORS, FIRST as u32, 0);
    store<u32>(VECTORS, 16, 4);
    store<u32>(VECTORS, SECOND as u32, 8);
    store<u32>(VECTORS, 32768, 12);
    if (fd_read(0, VECTORS, 2, DONE) != 0) unreachable();
    const done = load<u32>(DONE);
    if (done == 0) break;
    for (let i: u32 = 0; i < done; i++) {
      sum += i < 16 ? load<u8>(FIRST + i) : load<u8>(SECOND + i - 16);
    }
    length += done;
  }
  line("Content-Type: text/plain");
  line("");
  line("Hello from AssemblyScript!");
  line("body: " + length.toString());
  line("sum: " + sum.toString());
}
