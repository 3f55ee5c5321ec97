//! Files of the first granted directory: `GET …/open/NAME?N` opens one `N` times, for reading, and
//! keeps all descriptors until the last; `…/touch/NAME` sets its times.

use wasip2::filesystem::preopens::get_directories;
use wasip2::filesystem::types::{
    Descriptor, DescriptorFlags, ErrorCode, NewTimestamp, OpenFlags, PathFlags,
};

/// Returns the result if the path is one of these.
pub fn answer(path: &str) -> Option<String> {
    if let Some((_, opened)) = path.split_once("/open/") {
        let (name, n) = opened.split_once('?').unwrap_or((opened, "1"));
        return Some(open(name, n.parse().expect("a number")));
    }
    let (_, name) = path.split_once("/touch/")?;
    let (flags, now) = (PathFlags::SYMLINK_FOLLOW, NewTimestamp::Now);
    Some(match directory().set_times_at(flags, name, now, now) {
        Ok(()) => "touched\n".to_owned(),
        Err(error) => format!("{}\n", error.name()),
    })
}

fn open(name: &str, n: usize) -> String {
    let directory = directory();
    let open = |_| -> Result<Descriptor, ErrorCode> {
        directory.open_at(
            PathFlags::SYMLINK_FOLLOW,
            name,
            OpenFlags::empty(),
            DescriptorFlags::READ,
        )
    };
    let mut kept = Vec::new();
    for file in (0..n).map(open) {
        match file {
            Ok(file) => kept.push(file),
            Err(error) => return format!("{} opened, then {}\n", kept.len(), error.name()),
        }
    }
    "all opened\n".to_owned()
}

fn directory() -> Descriptor {
    let (directory, _) = get_directories().swap_remove(0);
    directory
}
