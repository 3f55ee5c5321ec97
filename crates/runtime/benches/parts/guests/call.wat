;; Calls one import again and again.
(component
  (import "call" (func $call))
  (core func $lowered (canon lower (func $call)))
  (core module $module
    (import "host" "call" (func $call))
    (func (export "run") (param $times i32)
      (block $done
        (loop $again
          (br_if $done (i32.eqz (local.get $times)))
          (call $call)
          (local.set $times (i32.sub (local.get $times) (i32.const 1)))
          (br $again)))))
  (core instance $instance
    (instantiate $module
      (with "host" (instance (export "call" (func $lowered))))))
  (func (export "run") (param "times" u32)
    (canon lift (core func $instance "run"))))
