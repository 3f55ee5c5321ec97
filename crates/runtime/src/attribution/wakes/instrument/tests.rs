use wasmtime::wasmparser::{Validator, WasmFeatures};

use super::*;

/// A component that makes, writes and reads a stream without payload, waits and has a context: everything
/// that is reported to the host, and a module that calls it.
fn hopper(name: &str) -> String {
    format!(
        r#"(component {name}
             (type $signal (stream))
             (core module $early (memory (export "memory") 1) (func (export "f")))
             (core instance $first (instantiate $early))
             (alias core export $first "memory" (core memory $memory))
             (alias core export $first "f" (core func $f))
             (core func $new (canon stream.new $signal))
             (core func $read (canon stream.read $signal async (memory $memory)))
             (core func $cancel (canon stream.cancel-read $signal))
             (core func $drop (canon stream.drop-readable $signal))
             (core func $join (canon waitable.join))
             (core func $get (canon context.get i32 0))
             (core func $set (canon context.set i32 0))
             (core module $main
               (import "b" "new" (func (result i64)))
               (import "b" "read" (func (param i32 i32 i32) (result i32)))
               (import "b" "cancel" (func (param i32) (result i32)))
               (import "b" "drop" (func (param i32)))
               (import "b" "join" (func (param i32 i32)))
               (import "b" "get" (func (result i32)))
               (import "b" "set" (func (param i32)))
               (import "b" "f" (func))
               (func (export "run")))
             (core instance $main (instantiate $main (with "b" (instance
               (export "new" (func $new)) (export "read" (func $read))
               (export "cancel" (func $cancel)) (export "drop" (func $drop))
               (export "join" (func $join)) (export "get" (func $get)) (export "set" (func $set))
               (export "f" (func $f))))))
             (core func $write (canon stream.write $signal async (memory $memory)))
             (core module $late
               (import "b" "write" (func (param i32 i32 i32) (result i32)))
               (import "main" "run" (func)))
             (core instance (instantiate $late (with "main" (instance $main)) (with "b" (instance
               (export "write" (func $write))))))
             (type $run (func))
             (func $run (type $run) (canon lift (core func $main "run")))
             (export "run" (func $run)))"#
    )
}

fn rewritten(text: &str) -> Option<Vec<u8>> {
    instrumented(&wat::parse_str(text).unwrap()).unwrap()
}

fn validate(binary: &[u8]) {
    let mut validator = Validator::new_with_features(WasmFeatures::all());
    if let Err(error) = validator.validate_all(binary) {
        panic!("{error:#}\n{}", error.offset());
    }
}

/// Counts the components that import the interface, and the core functions of it that the modules import.
fn imports(binary: &[u8]) -> (usize, usize) {
    let (mut interfaces, mut functions) = (0, 0);
    for payload in Parser::new(0).parse_all(binary) {
        match payload.unwrap() {
            Payload::ComponentImportSection(section) => {
                let mut names = section.into_iter().map(|import| import.unwrap().name.name);
                interfaces += usize::from(names.any(|name| name == INTERFACE));
            }
            Payload::ImportSection(section) => {
                let imports = section.into_imports().map(Result::unwrap);
                functions += imports
                    .filter(|import| import.module == shim::BUILTINS)
                    .count();
            }
            _ => {}
        }
    }
    (interfaces, functions)
}

#[test]
fn a_component_without_signals_is_left_as_it_is() {
    for text in [
        "(component)",
        "(component (core module) (core func (canon waitable.join)))",
        "(component (type (stream u8)) (core func (canon stream.new 0))
           (core func (canon waitable.join)) (core func (canon context.set i32 0)))",
        // It has the type and makes none.
        "(component (type (stream)) (core func (canon stream.drop-readable 0)))",
    ] {
        assert!(rewritten(text).is_none(), "{text}");
    }
}

#[test]
fn what_is_no_component_is_not_touched() {
    for binary in [&b""[..], b"\0asm", &wat::parse_str("(module)").unwrap()] {
        assert!(matches!(instrumented(binary), Ok(None)), "{binary:?}");
    }
}

#[test]
fn a_component_with_signals_tells_of_each_built_in() {
    let binary = rewritten(&hopper("")).unwrap();
    validate(&binary);
    assert_eq!(imports(&binary), (1, 5));
}

#[test]
fn futures_without_payload_are_signals_too() {
    let text = r#"(component
        (type $u (future))
        (core module $m (memory (export "memory") 1))
        (core instance $i (instantiate $m))
        (alias core export $i "memory" (core memory $memory))
        (core func $new (canon future.new $u))
        (core func $write (canon future.write $u async (memory $memory)))
        (core func $stop (canon future.cancel-write $u))
        (core func $unread (canon future.cancel-read $u))
        (core module $n
          (import "b" "new" (func (result i64)))
          (import "b" "write" (func (param i32 i32) (result i32)))
          (import "b" "stop" (func (param i32) (result i32)))
          (import "b" "unread" (func (param i32) (result i32))))
        (core instance (instantiate $n (with "b" (instance
          (export "new" (func $new)) (export "write" (func $write))
          (export "stop" (func $stop)) (export "unread" (func $unread)))))))"#;
    let binary = rewritten(text).unwrap();
    validate(&binary);
    assert_eq!(imports(&binary), (1, 2));
}

#[test]
fn of_a_composed_component_those_parts_tell_that_can_wake_tasks() {
    let text = format!(
        r#"(component
             (type $shared (record (field "x" u32)))
             (import "host" (instance $host (export "f" (func))))
             {}
             (component $quiet
               (alias outer 1 $shared (type $s))
               (import "run" (func $run))
               (core func $lowered (canon lower (func $run)))
               (core module $m (import "b" "run" (func)) (func (export "go")))
               (core instance $i (instantiate $m (with "b" (instance (export "run" (func $lowered))))))
               (func (export "go") (canon lift (core func $i "go"))))
             (instance $one (instantiate $hopper))
             (instance $two (instantiate $hopper))
             (instance $mid (instantiate $quiet (with "run" (func $one "run"))))
             (component $around
               (alias outer 1 $shared (type $s))
               (type $signal (stream))
               {}
               (instance $i (instantiate $hopper))
               (export "run" (func $i "run")))
             (instance $three (instantiate $around))
             (export "a" (func $mid "go"))
             (export "b" (func $two "run"))
             (export "c" (func $three "run")))"#,
        hopper("$hopper"),
        hopper("$hopper"),
    );
    validate(&wat::parse_str(&text).unwrap());
    let binary = rewritten(&text).unwrap();
    validate(&binary);
    // The whole, both hoppers, and the component around one of them.
    assert_eq!(imports(&binary), (4, 10));
}

#[test]
fn all_that_refers_to_something_refers_to_the_same_afterwards() {
    // Types, modules, components and instances, by aliases from inside, exports and types of types.
    let text = format!(
        r#"(component
             {}
             (core module $m (func (export "g") (result i32) (i32.const 7)))
             (type $r (resource (rep i32)))
             (type $pair (tuple u8 string))
             (export $named "r" (type $r))
             (type $interface (instance
               (alias outer 1 $pair (type $p))
               (export "t" (type (eq $p)))
               (type $f (func (param "x" $p)))
               (export "f" (func (type $f)))))
             (type $world (component
               (alias outer 1 $pair (type $p))
               (import "i" (instance (export "x" (type (sub resource)))))
               (export "f" (func (param "x" string)))))
             (import "given" (instance $given (type $interface)))
             (import "later" (component $later (type $world)))
             (component $inner
               (alias outer 1 $pair (type $p))
               (core alias outer 1 $m (core module $mine))
               (core instance $i (instantiate $mine))
               (func (export "g") (result u32) (canon lift (core func $i "g"))))
             (instance $hop (instantiate $hopper))
             (instance $in (instantiate $inner))
             (alias export $in "g" (func $g))
             (core func $lowered (canon lower (func $g)))
             (core func $make (canon resource.new $r))
             (core module $user
               (import "b" "g" (func (result i32)))
               (import "b" "make" (func (param i32) (result i32))))
             (core instance $used (instantiate $user (with "b" (instance
               (export "g" (func $lowered)) (export "make" (func $make))))))
             (instance $bundle (export "g" (func $g)) (export "hop" (func $hop "run")))
             (export "bundle" (instance $bundle))
             (export "g" (func $g)))"#,
        hopper("$hopper"),
    )
    .replace("(core alias outer", "(alias outer");
    validate(&wat::parse_str(&text).unwrap());
    let binary = rewritten(&text).unwrap();
    validate(&binary);
}

#[test]
fn a_component_that_is_given_away_cannot_be_heard() {
    for text in [
        format!("(component {} (export \"c\" (component $h)))", hopper("$h")),
        format!(
            "(component {} (component $i (alias outer 1 $h (component $mine))
               (instance (instantiate $mine))) (instance (instantiate $i)))",
            hopper("$h")
        ),
    ] {
        let binary = wat::parse_str(&text).unwrap();
        validate(&binary);
        assert_eq!(instrumented(&binary), Err(Unheard::GivenAway), "{text}");
    }
}

#[test]
fn its_name_is_kept_and_the_names_of_what_it_is_made_of_are_not() {
    let binary = rewritten(&hopper("$shop")).unwrap();
    let names = Parser::new(0).parse_all(&binary).find_map(|payload| {
        let Ok(Payload::CustomSection(section)) = payload else {
            return None;
        };
        match section.as_known() {
            KnownCustom::ComponentName(names) => Some(names),
            _ => None,
        }
    });
    let names: Vec<_> = names.unwrap().map(Result::unwrap).collect();
    assert!(
        matches!(
            names[..],
            [wasmtime::wasmparser::ComponentName::Component { name: "shop", .. }]
        ),
        "{}",
        names.len()
    );
}
