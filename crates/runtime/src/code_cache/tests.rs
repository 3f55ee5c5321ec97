use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::*;

/// A module whose `answer` returns this number.
fn answering(number: u32) -> Vec<u8> {
    let text = format!("(module (func (export \"answer\") (result i32) i32.const {number}))");
    wat::parse_str(text).unwrap()
}

struct Cache {
    engine: wasmtime::Engine,
    compiler: Compiler,
    folder: tempfile::TempDir,
}

impl Cache {
    fn new() -> Self {
        Self::bounded(MAX_BYTES)
    }

    fn bounded(max_bytes: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let directory = CodeDirectory::open(folder.path().to_owned(), max_bytes).unwrap();
        Self {
            engine: wasmtime::Engine::default(),
            compiler: Compiler::new(Store::Host {
                compiled: None,
                cache: CodeCache::Off,
                opened: Some(directory).into(),
            }),
            folder,
        }
    }

    /// Loads the module that returns this number, runs it and returns the result.
    fn ask(&self, number: u32) -> i32 {
        let module = self.compiler.module(&self.engine, &answering(number), "it");
        let mut store = wasmtime::Store::new(&self.engine, ());
        let instance = wasmtime::Instance::new(&mut store, &module.unwrap(), &[]).unwrap();
        let answer = instance.get_typed_func::<(), i32>(&mut store, "answer");
        answer.unwrap().call(&mut store, ()).unwrap()
    }

    fn directory(&self) -> &CodeDirectory {
        match &self.compiler.store {
            Store::Host { opened, .. } => opened.get().unwrap().as_ref().unwrap(),
            Store::Output(_) => panic!("it is no cache"),
        }
    }

    fn path(&self, number: u32) -> PathBuf {
        let key = Key::new(&self.engine, Module::KIND, &answering(number));
        self.directory().path_of(&key)
    }

    /// Puts another module's code, with its valid trailer, into the file. A cache that trusts the
    /// file runs the other module.
    fn replace(&self, number: u32, by: u32) {
        let code = Module::new(&self.engine, answering(by)).unwrap();
        let key = Key::new(&self.engine, Module::KIND, &answering(number));
        self.directory()
            .write(&key, &code.serialize().unwrap())
            .unwrap();
    }

    fn files(&self) -> usize {
        fs::read_dir(self.folder.path()).unwrap().count()
    }
}

/// Moves the modification time of a file this many seconds into the past.
fn age(path: &Path, seconds: u64) {
    let file = fs::File::options().write(true).open(path).unwrap();
    let then = SystemTime::now() - Duration::from_secs(seconds);
    file.set_modified(then).unwrap();
}

#[test]
fn what_was_compiled_once_is_not_compiled_again() {
    let cache = Cache::new();
    assert_eq!(cache.ask(7), 7);
    assert_eq!(cache.files(), 1);
    cache.replace(7, 8);
    assert_eq!(cache.ask(7), 8, "it was compiled again");
}

#[test]
fn a_component_is_kept_as_a_module_is() {
    let cache = Cache::new();
    let load = || {
        let component = cache
            .compiler
            .component(&cache.engine, b"(component)", "it");
        component.unwrap().serialize().unwrap()
    };
    let first = load();
    assert_eq!(cache.files(), 1);
    // The mapped file has a trailer.
    assert!(load().starts_with(&first));
}

#[test]
fn code_in_use_is_shared_and_code_that_nobody_uses_is_not_kept() {
    let cache = Cache::new();
    let load = || {
        cache
            .compiler
            .module(&cache.engine, &answering(7), "it")
            .unwrap()
    };
    let first = load();
    assert!(std::sync::Arc::ptr_eq(&first, &load()));
    let other = wasmtime::Engine::default();
    let elsewhere = cache.compiler.module(&other, &answering(7), "it").unwrap();
    assert!(wasmtime::Engine::same(elsewhere.engine(), &other));
    drop((first, elsewhere));
    cache.replace(7, 8);
    assert_eq!(cache.ask(7), 8, "it was read again");
}

#[test]
fn a_damaged_file_is_never_run_and_is_replaced() {
    let cache = Cache::new();
    assert_eq!(cache.ask(7), 7);
    let path = cache.path(7);
    let whole = fs::read(&path).unwrap();
    let mut damaged = Vec::new();
    // Flips bits of all positions in a byte, in code and trailer.
    for bit in (0..whole.len() * 8).step_by(whole.len() / 8 + 3) {
        let mut flipped = whole.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        damaged.push(flipped);
    }
    for length in [0, 1, 71, 72, 73, whole.len() / 2, whole.len() - 1] {
        damaged.push(whole[..length].to_vec());
    }
    damaged.push([&whole[..], &whole[..]].concat());
    damaged.push(vec![0; whole.len()]);
    for content in damaged {
        fs::write(&path, &content).unwrap();
        assert_eq!(cache.ask(7), 7);
        assert_eq!(fs::read(&path).unwrap(), whole, "the file was not replaced");
    }
    let warnings = cache.compiler.warnings();
    let replaced = |told: &String| told.contains("the file was replaced");
    assert!(warnings.iter().all(replaced), "{warnings:?}");
}

#[test]
fn files_that_changed_places_are_told_apart() {
    let cache = Cache::new();
    assert_eq!((cache.ask(7), cache.ask(8)), (7, 8));
    fs::rename(cache.path(8), cache.path(7)).unwrap();
    assert_eq!((cache.ask(7), cache.ask(8)), (7, 8));
}

#[cfg(unix)]
#[test]
fn what_somebody_else_could_have_written_is_never_run() {
    use std::os::unix::fs::{PermissionsExt, chown, symlink};
    let cache = Cache::new();
    let path = cache.path(7);
    let mode = |mode| fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    for others in [0o602, 0o620, 0o666] {
        cache.replace(7, 8);
        mode(others);
        assert_eq!(cache.ask(7), 7, "mode {others:o}");
        let made = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(made & 0o777, 0o600);
    }
    // Only root reads this file, because root may read everything.
    cache.replace(7, 8);
    mode(0);
    let by_root = rustix::process::geteuid().is_root();
    assert_eq!(cache.ask(7), if by_root { 8 } else { 7 });

    cache.replace(7, 8);
    let elsewhere = cache.folder.path().join("elsewhere");
    fs::rename(&path, &elsewhere).unwrap();
    symlink(&elsewhere, &path).unwrap();
    assert_eq!(cache.ask(7), 7, "a link was followed");

    if by_root {
        cache.replace(7, 8);
        chown(&path, Some(1234), None).unwrap();
        assert_eq!(cache.ask(7), 7, "another user's file");
    }
}

#[cfg(unix)]
#[test]
fn what_is_no_file_is_neither_waited_for_nor_removed() {
    let cache = Cache::new();
    let path = cache.path(7);
    fs::create_dir(&path).unwrap();
    assert_eq!(cache.ask(7), 7);
    assert!(path.is_dir());
    let [told] = &cache.compiler.warnings()[..] else {
        panic!("{:?}", cache.compiler.warnings())
    };
    assert!(told.contains("it is not a file"), "{told}");
    assert!(told.contains("cannot be replaced"), "{told}");
    fs::remove_dir(&path).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::RUSR).unwrap();
    assert_eq!(cache.ask(7), 7);
}

#[cfg(unix)]
#[test]
fn a_directory_that_others_may_write_to_is_not_used() {
    use std::os::unix::fs::{PermissionsExt, chown};
    let folder = tempfile::tempdir().unwrap();
    let open = |name: &str| CodeDirectory::open(folder.path().join(name), MAX_BYTES);
    let mode = |name: &str, mode| {
        fs::set_permissions(folder.path().join(name), fs::Permissions::from_mode(mode)).unwrap();
    };
    let refused = |name: &str| open(name).err().map(|error| error.to_string());
    open("made/by/it").unwrap();
    let made = fs::metadata(folder.path().join("made/by/it")).unwrap();
    assert_eq!(made.permissions().mode() & 0o777, 0o700);
    open("shared").unwrap();
    for others in [0o777, 0o770, 0o1777] {
        mode("shared", others);
        let told = refused("shared").unwrap();
        assert!(
            told.contains("shared") && told.contains("chmod go-w"),
            "{told}"
        );
    }
    mode("shared", 0o755);
    assert_eq!(refused("shared"), None);
    if rustix::process::geteuid().is_root() {
        chown(folder.path().join("shared"), Some(1234), None).unwrap();
        assert!(refused("shared").unwrap().contains("uid 1234"));
    }
    fs::write(folder.path().join("file"), "").unwrap();
    assert!(refused("file").unwrap().contains("not a directory"));
    assert!(refused("file/beneath").is_some());
}

#[test]
fn guests_are_served_where_nothing_can_be_written() {
    let cache = Cache::new();
    fs::remove_dir(cache.folder.path()).unwrap();
    for _ in 0..2 {
        assert_eq!(cache.ask(7), 7);
    }
    let [told] = &cache.compiler.warnings()[..] else {
        panic!("{:?}", cache.compiler.warnings())
    };
    assert!(
        told.contains("cannot be written") && told.contains("--code-cache off"),
        "{told}"
    );
}

#[test]
fn files_that_were_not_used_for_longest_make_room() {
    let cache = Cache::new();
    cache.ask(1);
    let size = fs::metadata(cache.path(1)).unwrap().len();
    let cache = Cache::bounded(3 * size + size / 2);
    let others = cache.folder.path().join("notes.code");
    fs::write(&others, vec![0; 1 << 20]).unwrap();
    let crashed = cache.folder.path().join("unfinished-abc.code");
    fs::write(&crashed, "half").unwrap();
    age(&crashed, 900);
    for (number, seconds) in [(1, 300), (2, 200), (3, 100)] {
        cache.ask(number);
        age(&cache.path(number), seconds);
    }
    // Reading counts as use.
    cache.ask(1);
    cache.ask(4);
    let there = |number| cache.path(number).exists();
    assert_eq!([1, 2, 3, 4].map(there), [true, false, true, true]);
    assert!(others.exists(), "a file of somebody else's was removed");
    assert!(!crashed.exists());
}

#[test]
fn services_that_are_loaded_at_the_same_time_compile_their_guest_once() {
    let cache = Cache::new();
    let binary = answering(7);
    let load = || cache.compiler.module(&cache.engine, &binary, "it").unwrap();
    let loaded: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(load)).collect();
        let joined = threads.into_iter().map(|thread| thread.join().unwrap());
        joined.collect()
    });
    let first = &loaded[0];
    assert!(loaded.iter().all(|it| std::sync::Arc::ptr_eq(it, first)));
}
