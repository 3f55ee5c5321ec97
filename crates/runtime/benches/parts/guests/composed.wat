;; A component of two: the outer one's `run` calls the inner one, which calls the host once, goes on after its caller
;; has returned, and calls the host again.
(component
  (import "call" (func $call))
  (component $inner
    (import "call" (func $call))
    (core func $call' (canon lower (func $call)))
    (core func $return (canon task.return))
    (core module $m
      (import "host" "call" (func $call))
      (import "host" "return" (func $return))
      (func (export "work") (result i32)
        (call $call)
        (call $return)
        (i32.const 1))
      (func (export "work-on") (param i32 i32 i32) (result i32)
        (call $call)
        (i32.const 0)))
    (core instance $i (instantiate $m (with "host" (instance
      (export "call" (func $call'))
      (export "return" (func $return))))))
    (func (export "work") async
      (canon lift (core func $i "work") async (callback (core func $i "work-on")))))
  (component $outer
    (import "work" (func $work async))
    (core func $work' (canon lower (func $work) async))
    (core func $return (canon task.return))
    (core module $m
      (import "host" "work" (func $work (result i32)))
      (import "host" "return" (func $return))
      (func (export "run") (result i32)
        (drop (call $work))
        (call $return)
        (i32.const 0))
      (func (export "run-on") (param i32 i32 i32) (result i32) unreachable))
    (core instance $i (instantiate $m (with "host" (instance
      (export "work" (func $work'))
      (export "return" (func $return))))))
    (func (export "run") async
      (canon lift (core func $i "run") async (callback (core func $i "run-on")))))
  (instance $in (instantiate $inner (with "call" (func $call))))
  (instance $out (instantiate $outer (with "work" (func $in "work"))))
  (export "run" (func $out "run")))
