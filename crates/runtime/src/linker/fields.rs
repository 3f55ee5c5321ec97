//! The functions of `fields` that add fields, where the stock ones refuse or trap without need.
//!
//! - **Too many fields.** 0.3 has `header-error.size-exceeded` for fields beyond a limit. 0.2 has no such
//!   error, and the stock functions trap, which ends an instance for a header that an upstream or a client
//!   may have chosen. The closest error in 0.2 is `invalid-syntax`: these fields cannot be sent.
//! - **A second `content-length`.** The stock functions refuse it even if it repeats the value. Identical
//!   values count as one (RFC 9110 8.6, RFC 9112 6.3), and guests add them by accident, for example by
//!   copying a request's fields with a library that adds the body's length itself. Here one value is kept,
//!   so that nothing behind sees two. Values that differ or are not only digits stay an error.

use headwater_core::fields::{DeclaredLength, agreed_length, declared_length};
use http::header::CONTENT_LENGTH;
use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, Resource, ResourceTable};
use wasmtime_wasi::TrappableError;
use wasmtime_wasi_http::p2::bindings::http::types as p2_types;
use wasmtime_wasi_http::p2::{HeaderError as Failure, HeaderResult};
use wasmtime_wasi_http::p3::bindings::http::types as p3_types;
use wasmtime_wasi_http::{FieldMap, FieldMapError, WasiHttpView};

use crate::guest_state::GuestState;

type Fields = Resource<FieldMap>;
type Entry = (String, Vec<u8>);

pub(super) fn add(linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    /// Defines the three functions, given the conversion of the stock function's result.
    macro_rules! define {
        ($instance:expr, $version:ident, $answer:ident) => {
            let mut types = linker.instance($instance)?;
            types.func_wrap(
                "[static]fields.from-list",
                |mut store: StoreContextMut<'_, GuestState>, (entries,): (Vec<Entry>,)| {
                    let entries = settled_entries(entries);
                    let made =
                        $version::HostFields::from_list(&mut store.data_mut().http(), entries);
                    $answer(store, made)
                },
            )?;
            types.func_wrap(
                "[method]fields.set",
                |mut store: StoreContextMut<'_, GuestState>,
                 (fields, name, values): (Fields, String, Vec<Vec<u8>>)| {
                    let values = settled(&name, values);
                    let http = &mut store.data_mut().http();
                    let done = $version::HostFields::set(http, fields, name, values);
                    $answer(store, done)
                },
            )?;
            types.func_wrap(
                "[method]fields.append",
                |mut store: StoreContextMut<'_, GuestState>,
                 (fields, name, value): (Fields, String, Vec<u8>)| {
                    let repeats = is_length(&name) && repeats(&store.data().table, &fields, &value);
                    let http = &mut store.data_mut().http();
                    let done = match repeats {
                        // Sets the same value again, which also reports other errors, such as fields that
                        // cannot be changed.
                        true => $version::HostFields::set(http, fields, name, vec![value]),
                        false => $version::HostFields::append(http, fields, name, value),
                    };
                    $answer(store, done)
                },
            )?;
        };
    }
    define!(super::TYPES_P2, p2_types, answer_p2);
    define!(super::TYPES_P3, p3_types, answer_p3);
    Ok(())
}

fn is_length(name: &str) -> bool {
    name.eq_ignore_ascii_case(CONTENT_LENGTH.as_str())
}

fn repeats(table: &ResourceTable, fields: &Fields, value: &[u8]) -> bool {
    let Ok(fields) = table.get(fields) else {
        return false;
    };
    match declared_length(fields) {
        DeclaredLength::None | DeclaredLength::Invalid => false,
        declared => declared == agreed([value].into_iter()),
    }
}

/// Returns the length that all values agree on. A value that is not only digits does not count.
fn agreed<'a>(values: impl Iterator<Item = &'a [u8]> + Clone) -> DeclaredLength {
    match values.clone().flatten().all(u8::is_ascii_digit) {
        true => agreed_length(values),
        false => DeclaredLength::Invalid,
    }
}

/// Returns the values of a field. If it is `content-length` and they agree, only one is left.
fn settled(name: &str, mut values: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    if is_length(name)
        && let DeclaredLength::Exactly(_) = agreed(values.iter().map(Vec::as_slice))
    {
        values.truncate(1);
    }
    values
}

/// Does the same for a list of fields.
fn settled_entries(mut entries: Vec<Entry>) -> Vec<Entry> {
    let lengths = entries.iter().filter(|(name, _)| is_length(name));
    if lengths.clone().nth(1).is_some()
        && let DeclaredLength::Exactly(_) = agreed(lengths.map(|(_, value)| value.as_slice()))
    {
        let mut seen = false;
        entries.retain(|(name, _)| !is_length(name) || !std::mem::replace(&mut seen, true));
    }
    entries
}

fn answer_p2<T>(
    mut store: StoreContextMut<'_, GuestState>,
    done: HeaderResult<T>,
) -> wasmtime::Result<(Result<T, p2_types::HeaderError>,)> {
    Ok((match done {
        Ok(done) => Ok(done),
        Err(failure) if is_too_much(&failure) => Err(p2_types::HeaderError::InvalidSyntax),
        Err(failure) => Err(p2_types::Host::convert_header_error(
            &mut store.data_mut().http(),
            failure,
        )?),
    },))
}

fn answer_p3<T>(
    mut store: StoreContextMut<'_, GuestState>,
    done: Result<T, TrappableError<p3_types::HeaderError>>,
) -> wasmtime::Result<(Result<T, p3_types::HeaderError>,)> {
    Ok((match done {
        Ok(done) => Ok(done),
        Err(failure) => Err(p3_types::Host::convert_header_error(
            &mut store.data_mut().http(),
            failure,
        )?),
    },))
}

fn is_too_much(failure: &Failure) -> bool {
    // The stock type reveals the cause only in its message.
    let said = failure.to_string();
    [FieldMapError::TooManyFields, FieldMapError::TotalSizeTooBig]
        .iter()
        .any(|error| said == error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_beyond_a_limit_are_told_from_other_failures() {
        for (error, expected) in [
            (FieldMapError::TooManyFields, true),
            (FieldMapError::TotalSizeTooBig, true),
            (FieldMapError::Forbidden, false),
            (FieldMapError::InvalidHeaderValue, false),
        ] {
            assert_eq!(is_too_much(&error.into()), expected, "{error}");
        }
        assert!(!is_too_much(&Failure::trap(wasmtime::format_err!(
            "no such fields"
        ))));
    }

    #[test]
    fn of_lengths_that_agree_one_is_left_and_others_are_left_as_they_are() {
        let entry = |name: &str, value: &str| (name.to_owned(), value.as_bytes().to_vec());
        let values = |values: &[&str]| {
            values
                .iter()
                .map(|value| value.as_bytes().to_vec())
                .collect()
        };
        for (name, given, left) in [
            ("content-length", &["5", "5"][..], &["5"][..]),
            ("Content-Length", &["5", "05", "5"], &["5"]),
            ("content-length", &["5, 5"], &["5, 5"]),
            ("content-length", &["5", " 5"], &["5", " 5"]),
            ("content-length", &["5", "6"], &["5", "6"]),
            ("content-length", &[], &[]),
            ("x", &["5", "5"], &["5", "5"]),
        ] {
            let left: Vec<Vec<u8>> = values(left);
            assert_eq!(settled(name, values(given)), left, "{name} {given:?}");
        }
        let list = |last| {
            vec![
                entry("content-length", "5"),
                entry("x", "1"),
                entry("x", "1"),
                entry("Content-Length", last),
            ]
        };
        assert_eq!(settled_entries(list("5")), list("5")[..3]);
        assert_eq!(settled_entries(list("6")), list("6"));
    }

    #[test]
    fn a_length_is_repeated_by_the_same_number_alone() {
        let mut table = ResourceTable::new();
        let mut map = FieldMap::new_mutable(1_000);
        map.append_raw(CONTENT_LENGTH, 5.into()).unwrap();
        let fields = table.push(map).unwrap();
        let none = table.push(FieldMap::new_mutable(1_000)).unwrap();
        for (value, expected) in [("5", true), ("5,5", false), (" 5", false), ("6", false)] {
            assert_eq!(
                repeats(&table, &fields, value.as_bytes()),
                expected,
                "{value}"
            );
            assert!(!repeats(&table, &none, value.as_bytes()));
        }
    }
}
