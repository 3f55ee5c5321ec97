//! The functions of 0.2's `fields` that add, with an error in place of a trap where there is too much.
//!
//! 0.3 has `header-error.size-exceeded` for fields beyond a limit. 0.2 has nothing like it, and the stock
//! functions trap, which ends an instance for a header that an upstream or a client may have chosen. The
//! nearest that 0.2 has is `invalid-syntax`: these fields cannot be put on the wire.

use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, Resource};
use wasmtime_wasi_http::p2::bindings::http::types::{HeaderError, Host, HostFields};
use wasmtime_wasi_http::p2::{HeaderError as Failure, HeaderResult};
use wasmtime_wasi_http::{FieldMap, FieldMapError, WasiHttpView};

use crate::state::State;

type Fields = Resource<FieldMap>;
type Entry = (String, Vec<u8>);
type Answer<T> = (Result<T, HeaderError>,);

/// Defines them over the stock ones.
pub(super) fn add(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    let mut types = linker.instance(super::TYPES_P2)?;
    types.func_wrap(
        "[static]fields.from-list",
        |mut store: StoreContextMut<'_, State>, (entries,): (Vec<Entry>,)| {
            let made = HostFields::from_list(&mut store.data_mut().http(), entries);
            answer(store, made)
        },
    )?;
    types.func_wrap(
        "[method]fields.set",
        |mut store: StoreContextMut<'_, State>,
         (fields, name, values): (Fields, String, Vec<Vec<u8>>)| {
            let done = HostFields::set(&mut store.data_mut().http(), fields, name, values);
            answer(store, done)
        },
    )?;
    types.func_wrap(
        "[method]fields.append",
        |mut store: StoreContextMut<'_, State>,
         (fields, name, value): (Fields, String, Vec<u8>)| {
            let done = HostFields::append(&mut store.data_mut().http(), fields, name, value);
            answer(store, done)
        },
    )
}

fn answer<T>(
    mut store: StoreContextMut<'_, State>,
    done: HeaderResult<T>,
) -> wasmtime::Result<Answer<T>> {
    Ok((match done {
        Ok(done) => Ok(done),
        Err(failure) if is_too_much(&failure) => Err(HeaderError::InvalidSyntax),
        Err(failure) => Err(Host::convert_header_error(
            &mut store.data_mut().http(),
            failure,
        )?),
    },))
}

fn is_too_much(failure: &Failure) -> bool {
    // The stock type gives no way to ask for the cause but by what it says.
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
}
