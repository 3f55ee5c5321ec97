//! Composed components in the text format, made of parts.

use std::fmt::Write;

#[derive(Default)]
pub(in crate::attribution::ledger) struct Part<'a> {
    pub(in crate::attribution::ledger) name: &'a str,
    /// Functions of other parts that it calls asynchronously.
    pub(in crate::attribution::ledger) calls: &'a [&'a str],
    /// Functions of other parts that it calls synchronously.
    pub(in crate::attribution::ledger) calls_now: &'a [&'a str],
    /// Asynchronous functions of its own, with callbacks exported under the plain name and with
    /// `-on`.
    pub(in crate::attribution::ledger) exports: &'a [&'a str],
    /// Synchronous functions of its own.
    pub(in crate::attribution::ledger) exports_now: &'a [&'a str],
    pub(in crate::attribution::ledger) code: &'a str,
}

/// The canonical functions of every part, with their names in its code.
const HOST: [(&str, &str, &str); 13] = [
    ("note", "(canon lower (func $note))", "(param i32)"),
    (
        "gate",
        "(canon lower (func $gate) async)",
        "(param i32) (result i32)",
    ),
    ("gate-now", "(canon lower (func $gate))", "(param i32)"),
    ("return", "(canon task.return)", ""),
    ("set-new", "(canon waitable-set.new)", "(result i32)"),
    ("join", "(canon waitable.join)", "(param i32 i32)"),
    (
        "poll",
        "(canon waitable-set.poll (memory $m))",
        "(param i32 i32) (result i32)",
    ),
    ("drop", "(canon subtask.drop)", "(param i32)"),
    (
        "cancel",
        "(canon subtask.cancel)",
        "(param i32) (result i32)",
    ),
    ("hold", "(canon backpressure.inc)", ""),
    ("let-go", "(canon backpressure.dec)", ""),
    ("who", "(canon context.get i32 0)", "(result i32)"),
    ("begin", "(canon context.set i32 0)", "(param i32)"),
];

/// `wait` is the result of a function that continues in its callback when a gate is open; `handle` is
/// the subtask of a call that has not returned.
const LIBRARY: &str = r"
    (func $handle (param $called i32) (result i32)
      (i32.shr_u (local.get $called) (i32.const 4)))
    (func $wait-for (param $subtask i32) (result i32)
      (local $set i32)
      (local.set $set (call $set-new))
      (call $join (local.get $subtask) (local.get $set))
      (i32.or (i32.const 2) (i32.shl (local.get $set) (i32.const 4))))
    (func $wait (param $gate i32) (result i32)
      (call $wait-for (call $handle (call $gate (local.get $gate)))))
";

/// Composes parts, each of which calls those before it. The last one's `run` is a request.
pub(in crate::attribution::ledger) fn composed(parts: &[Part<'_>]) -> String {
    let mut text = String::from(
        "(component
           (import \"note\" (func $note (param \"who\" u32)))
           (import \"gate\" (func $gate async (param \"gate\" u32)))\n",
    );
    for part in parts {
        part.define(&mut text);
    }
    for part in parts {
        let name = part.name;
        write!(text, "(instance ${name}-made (instantiate ${name} (with \"note\" (func $note)) (with \"gate\" (func $gate))").unwrap();
        for called in part.calls.iter().chain(part.calls_now) {
            let owner = parts.iter().find(|part| {
                part.exports
                    .iter()
                    .chain(part.exports_now)
                    .any(|f| f == called)
            });
            let owner = owner.unwrap().name;
            write!(
                text,
                " (with \"{called}\" (func ${owner}-made \"{called}\"))"
            )
            .unwrap();
        }
        text += "))\n";
    }
    let last = parts.last().unwrap().name;
    writeln!(text, "(export \"run\" (func ${last}-made \"run\")))").unwrap();
    text
}

impl Part<'_> {
    fn define(&self, text: &mut String) {
        let Self {
            name,
            calls,
            calls_now,
            exports,
            exports_now,
            code,
        } = self;
        let mut add = |names: &[&str], pattern: &str| {
            for name in names {
                text.push_str(&pattern.replace('@', name));
            }
        };
        add(
            &[name],
            "(component $@
            (import \"note\" (func $note (param \"who\" u32)))
            (import \"gate\" (func $gate async (param \"gate\" u32)))
            (core module $memory (memory (export \"memory\") 1))
            (core instance $memory (instantiate $memory))
            (alias core export $memory \"memory\" (core memory $m))\n",
        );
        add(
            calls,
            "(import \"@\" (func $@ async (param \"who\" u32)))
            (core func $@' (canon lower (func $@) async))\n",
        );
        add(
            calls_now,
            "(import \"@\" (func $@ (param \"who\" u32)))
            (core func $@' (canon lower (func $@)))\n",
        );
        for (function, canonical, _) in HOST {
            add(&[function], &format!("(core func $@' {canonical})\n"));
        }
        add(&[""], "(core module $code\n");
        for (function, _, ty) in HOST {
            add(
                &[function],
                &format!("(import \"host\" \"@\" (func $@ {ty}))\n"),
            );
        }
        add(
            calls,
            "(import \"host\" \"@\" (func $@ (param i32) (result i32)))\n",
        );
        add(calls_now, "(import \"host\" \"@\" (func $@ (param i32)))\n");
        add(&[LIBRARY, code], "@");
        add(
            &[""],
            ")\n(core instance $code (instantiate $code (with \"host\" (instance\n",
        );
        let export = "(export \"@\" (func $@'))\n";
        add(&HOST.map(|(function, ..)| function), export);
        add(calls, export);
        add(calls_now, export);
        add(&[""], "))))\n");
        add(
            exports,
            "(func (export \"@\") async (param \"who\" u32)
            (canon lift (core func $code \"@\") async (callback (core func $code \"@-on\"))))\n",
        );
        add(
            exports_now,
            "(func (export \"@\") (param \"who\" u32)
            (canon lift (core func $code \"@\")))\n",
        );
        add(&[""], ")\n");
    }
}
