;; A WAGI module by hand. It does what AssemblyScript and Grain 0.3 modules do: each line is one
;; `fd_write` of two buffers, the text and "\n", and a short write is never continued. A host that
;; takes only the first buffer loses every newline, and so the header block.
;;
;; Answers `200`, `text/plain`: a line `Hello from WAT!`, then the request's body, as far as one
;; `fd_read` into two buffers that lie apart (16 bytes, then up to 65536) gives it.
(module
  (import "wasi_snapshot_preview1" "fd_write"
    (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read"
    (func $fd_read (param i32 i32 i32 i32) (result i32)))

  ;; Three pages: 0 holds the vectors, the text and the first buffer, 1 and 2 the second buffer.
  (memory (export "memory") 3)
  (data (i32.const 64) "status: 200")
  (data (i32.const 96) "content-type: text/plain")
  (data (i32.const 128) "Hello from WAT!")
  (data (i32.const 160) "\n")

  (global $vectors i32 (i32.const 0))      ;; two of (address, length)
  (global $done i32 (i32.const 16))        ;; where WASI says how many bytes it took or gave
  (global $newline i32 (i32.const 160))
  (global $first i32 (i32.const 512))      ;; 16 bytes
  (global $second i32 (i32.const 65536))   ;; 65536 bytes

  (func $set_vectors (param $a i32) (param $a_length i32) (param $b i32) (param $b_length i32)
    (i32.store offset=0 (global.get $vectors) (local.get $a))
    (i32.store offset=4 (global.get $vectors) (local.get $a_length))
    (i32.store offset=8 (global.get $vectors) (local.get $b))
    (i32.store offset=12 (global.get $vectors) (local.get $b_length)))

  ;; One write of both vectors to stdout. How much of it was taken is not looked at.
  (func $write
    (drop (call $fd_write (i32.const 1) (global.get $vectors) (i32.const 2) (global.get $done))))

  (func $line (param $text i32) (param $length i32)
    (call $set_vectors (local.get $text) (local.get $length) (global.get $newline) (i32.const 1))
    (call $write))

  (func (export "_start")
    (local $got i32) (local $in_first i32)
    (call $line (i32.const 64) (i32.const 11))
    (call $line (i32.const 96) (i32.const 24))
    ;; The blank line: an empty text, and its newline.
    (call $line (i32.const 160) (i32.const 0))
    (call $line (i32.const 128) (i32.const 15))

    (call $set_vectors
      (global.get $first) (i32.const 16) (global.get $second) (i32.const 65536))
    (drop (call $fd_read (i32.const 0) (global.get $vectors) (i32.const 2) (global.get $done)))
    (local.set $got (i32.load (global.get $done)))

    (local.set $in_first
      (select (i32.const 16) (local.get $got) (i32.gt_u (local.get $got) (i32.const 16))))
    (call $set_vectors
      (global.get $first) (local.get $in_first)
      (global.get $second) (i32.sub (local.get $got) (local.get $in_first)))
    (call $write)))
