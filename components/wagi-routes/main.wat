;; A WAGI module that names routes by `_routes`, with an entrypoint for each:
;;
;;     /exact on_exact
;;     /wildcard/... on_wildcard
;;     /main _start
;;
;; Each entrypoint answers `200`, `text/plain`: a line that says which one it is, then the environment, a
;; line `NAME=VALUE` each.
(module
  (import "wasi_snapshot_preview1" "fd_write"
    (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "environ_sizes_get"
    (func $environ_sizes_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "environ_get"
    (func $environ_get (param i32 i32) (result i32)))

  ;; Page 0 holds the vector, the texts and the variables' addresses, page 1 on the variables.
  (memory (export "memory") 3)
  (data (i32.const 64) "content-type: text/plain\n\n")
  (data (i32.const 128) "This is the main entry point\n")
  (data (i32.const 192) "This is the .../exact handler\n")
  (data (i32.const 256) "This is the .../wildcard/... handler\n")
  (data (i32.const 320) "/exact on_exact\n/wildcard/... on_wildcard\n/main _start\n")

  (func $print (param $at i32) (param $length i32)
    (i32.store (i32.const 0) (local.get $at))
    (i32.store (i32.const 4) (local.get $length))
    (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))))

  (func $answer (param $text i32) (param $length i32)
    (local $at i32) (local $end i32)
    (call $print (i32.const 64) (i32.const 26))
    (call $print (local.get $text) (local.get $length))
    (drop (call $environ_sizes_get (i32.const 16) (i32.const 20)))
    (drop (call $environ_get (i32.const 4096) (i32.const 65536)))
    ;; Each variable ends with a NUL, which becomes the end of a line.
    (local.set $at (i32.const 65536))
    (local.set $end (i32.add (i32.const 65536) (i32.load (i32.const 20))))
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $at) (local.get $end)))
        (if (i32.eqz (i32.load8_u (local.get $at)))
          (then (i32.store8 (local.get $at) (i32.const 10))))
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (br $next)))
    (call $print (i32.const 65536) (i32.load (i32.const 20))))

  (func (export "_start") (call $answer (i32.const 128) (i32.const 29)))
  (func (export "on_exact") (call $answer (i32.const 192) (i32.const 30)))
  (func (export "on_wildcard") (call $answer (i32.const 256) (i32.const 37)))
  (func (export "_routes") (call $print (i32.const 320) (i32.const 55))))
