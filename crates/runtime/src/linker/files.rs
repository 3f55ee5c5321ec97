//! The functions of `wasi:filesystem` that open something, in both versions. They open a bounded number of
//! files, and only regular files and directories.
//!
//! Opening a named pipe blocks until its other end is opened, and keeps one of the threads on which all
//! services work with files. So the type is checked before the path is opened. `set-times-at` opens its
//! target, too, unless that is a symbolic link.
//!
//! The file may be replaced between the check and the opening. A guest can move a named pipe this way, but
//! cannot make one.

use std::fs::File;
use std::sync::Arc;

use wasmtime::StoreContextMut;
use wasmtime::component::{Accessor, Linker, Resource, ResourceTable};
use wasmtime_wasi::filesystem::{Descriptor, WasiFilesystem, WasiFilesystemView};
use wasmtime_wasi::p2::FsResult;
use wasmtime_wasi::p2::bindings::filesystem::types as p2;
use wasmtime_wasi::p3::bindings::filesystem::types as p3;
use wasmtime_wasi::p3::filesystem::FilesystemResult;

use crate::guest_state::GuestState;
use crate::open_files::FilePermit;

/// The versions are wasmtime-wasi 48's; 0.2.x versions link to each other, as do 0.3.x versions.
const TYPES_P2: &str = "wasi:filesystem/types@0.2.12";
pub(super) const TYPES_P3: &str = "wasi:filesystem/types@0.3.0";

pub(super) fn add(linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    add_p2(linker)?;
    add_p3(linker)
}

fn add_p2(linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    let mut types = linker.instance(TYPES_P2)?;
    types.func_wrap_async(
        "[method]descriptor.open-at",
        |mut store: StoreContextMut<'_, GuestState>, arguments: OpenP2| {
            Box::new(async move {
                let opened = open_p2(store.data_mut(), arguments).await;
                answer_p2(store.data_mut(), opened)
            })
        },
    )?;
    types.func_wrap_async(
        "[method]descriptor.set-times-at",
        |mut store: StoreContextMut<'_, GuestState>, arguments: SetTimesP2| {
            Box::new(async move {
                let set = set_times_p2(store.data_mut(), arguments).await;
                answer_p2(store.data_mut(), set)
            })
        },
    )
}

fn add_p3(linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    let mut types = linker.instance(TYPES_P3)?;
    types.func_wrap_concurrent(
        "[method]descriptor.open-at",
        |accessor: &Accessor<GuestState>, arguments: OpenP3| {
            Box::pin(async move { answer_p3(accessor, open_p3(accessor, arguments).await) })
        },
    )?;
    types.func_wrap_concurrent(
        "[method]descriptor.set-times-at",
        |accessor: &Accessor<GuestState>, arguments: SetTimesP3| {
            Box::pin(async move { answer_p3(accessor, set_times_p3(accessor, arguments).await) })
        },
    )
}

/// Keeps the permit for as long as the file or directory is open.
fn watch(table: &ResourceTable, opened: &Resource<Descriptor>, permit: FilePermit) {
    let file: Option<&Arc<File>> = match table.get(opened) {
        Ok(Descriptor::File(file)) => Some(&file.file),
        Ok(Descriptor::Dir(directory)) => Some(&directory.dir),
        Err(_) => None,
    };
    if let Some(file) = file {
        permit.watch(file);
    }
}

// === 0.2 ===

type OpenP2 = (
    Resource<Descriptor>,
    p2::PathFlags,
    String,
    p2::OpenFlags,
    p2::DescriptorFlags,
);

type SetTimesP2 = (
    Resource<Descriptor>,
    p2::PathFlags,
    String,
    p2::NewTimestamp,
    p2::NewTimestamp,
);

async fn open_p2(
    state: &mut GuestState,
    (directory, follow, path, open, flags): OpenP2,
) -> FsResult<Resource<Descriptor>> {
    // POSIX has `EMFILE`. Of these codes none matches it.
    let permit = state
        .files
        .permit()
        .ok_or(p2::ErrorCode::InsufficientMemory)?;
    // Exclusive creation does not open an existing file.
    if !open.contains(p2::OpenFlags::CREATE | p2::OpenFlags::EXCLUSIVE) {
        look_p2(state, &directory, follow, &path).await?;
    }
    let files = &mut state.filesystem();
    let opened = p2::HostDescriptor::open_at(files, directory, follow, path, open, flags).await?;
    watch(files.table, &opened, permit);
    Ok(opened)
}

async fn set_times_p2(
    state: &mut GuestState,
    (directory, follow, path, accessed, modified): SetTimesP2,
) -> FsResult<()> {
    if follow.contains(p2::PathFlags::SYMLINK_FOLLOW) {
        look_p2(state, &directory, follow, &path).await?;
    }
    let files = &mut state.filesystem();
    p2::HostDescriptor::set_times_at(files, directory, follow, path, accessed, modified).await
}

/// Returns an error if the path exists and is neither a file nor a directory. A symbolic link that is not
/// followed passes; the stock functions refuse it.
async fn look_p2(
    state: &mut GuestState,
    directory: &Resource<Descriptor>,
    follow: p2::PathFlags,
    path: &str,
) -> FsResult<()> {
    let directory = Resource::new_borrow(directory.rep());
    let files = &mut state.filesystem();
    let found = p2::HostDescriptor::stat_at(files, directory, follow, path.to_owned()).await;
    match found {
        Ok(found) => match found.type_ {
            p2::DescriptorType::Directory
            | p2::DescriptorType::RegularFile
            | p2::DescriptorType::SymbolicLink => Ok(()),
            _ => Err(p2::ErrorCode::Unsupported.into()),
        },
        Err(error) => match error.downcast_ref() {
            Some(p2::ErrorCode::NoEntry) => Ok(()),
            _ => Err(error),
        },
    }
}

fn answer_p2<T>(
    state: &mut GuestState,
    done: FsResult<T>,
) -> wasmtime::Result<(Result<T, p2::ErrorCode>,)> {
    Ok((match done {
        Ok(done) => Ok(done),
        Err(error) => Err(p2::Host::convert_error_code(
            &mut state.filesystem(),
            error,
        )?),
    },))
}

// === 0.3 ===

type OpenP3 = (
    Resource<Descriptor>,
    p3::PathFlags,
    String,
    p3::OpenFlags,
    p3::DescriptorFlags,
);

type SetTimesP3 = (
    Resource<Descriptor>,
    p3::PathFlags,
    String,
    p3::NewTimestamp,
    p3::NewTimestamp,
);

async fn open_p3(
    accessor: &Accessor<GuestState>,
    (directory, follow, path, open, flags): OpenP3,
) -> FilesystemResult<Resource<Descriptor>> {
    let permit = accessor
        .with(|mut access| access.get().files.permit())
        .ok_or(p3::ErrorCode::InsufficientMemory)?;
    if !open.contains(p3::OpenFlags::CREATE | p3::OpenFlags::EXCLUSIVE) {
        look_p3(accessor, &directory, follow, &path).await?;
    }
    let files = &accessor.with_getter::<WasiFilesystem>(GuestState::filesystem);
    let opened = <WasiFilesystem as p3::HostDescriptorWithStore<GuestState>>::open_at(
        files, directory, follow, path, open, flags,
    )
    .await?;
    accessor.with(|mut access| watch(&access.get().table, &opened, permit));
    Ok(opened)
}

async fn set_times_p3(
    accessor: &Accessor<GuestState>,
    (directory, follow, path, accessed, modified): SetTimesP3,
) -> FilesystemResult<()> {
    if follow.contains(p3::PathFlags::SYMLINK_FOLLOW) {
        look_p3(accessor, &directory, follow, &path).await?;
    }
    let files = &accessor.with_getter::<WasiFilesystem>(GuestState::filesystem);
    <WasiFilesystem as p3::HostDescriptorWithStore<GuestState>>::set_times_at(
        files, directory, follow, path, accessed, modified,
    )
    .await
}

/// See [`look_p2`].
async fn look_p3(
    accessor: &Accessor<GuestState>,
    directory: &Resource<Descriptor>,
    follow: p3::PathFlags,
    path: &str,
) -> FilesystemResult<()> {
    let directory = Resource::new_borrow(directory.rep());
    let files = &accessor.with_getter::<WasiFilesystem>(GuestState::filesystem);
    let found = <WasiFilesystem as p3::HostDescriptorWithStore<GuestState>>::stat_at(
        files,
        directory,
        follow,
        path.to_owned(),
    )
    .await;
    match found {
        Ok(found) => match found.type_ {
            p3::DescriptorType::Directory
            | p3::DescriptorType::RegularFile
            | p3::DescriptorType::SymbolicLink => Ok(()),
            _ => Err(p3::ErrorCode::Unsupported.into()),
        },
        Err(error) => match error.downcast_ref() {
            Some(p3::ErrorCode::NoEntry) => Ok(()),
            _ => Err(error),
        },
    }
}

fn answer_p3<T>(
    accessor: &Accessor<GuestState>,
    done: FilesystemResult<T>,
) -> wasmtime::Result<(Result<T, p3::ErrorCode>,)> {
    Ok((match done {
        Ok(done) => Ok(done),
        Err(error) => Err(accessor.with(|mut access| {
            p3::Host::convert_error_code(&mut access.get().filesystem(), error)
        })?),
    },))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linker::testing::assert_over_the_stock_ones;

    #[test]
    fn these_functions_take_the_place_of_the_stock_ones() {
        assert_over_the_stock_ones(&[add_p2, add_p3]);
    }
}
