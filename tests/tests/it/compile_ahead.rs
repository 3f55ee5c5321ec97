//! Promise: `headwater compile` writes code that `--compiled` takes without compiling; code that
//! cannot be used is warned of, once; and a directory that is not to be trusted is refused.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use headwater_tests::guests::guest;
use headwater_tests::host::Finished;
use headwater_tests::refusal::{FAILURE, refused};
use headwater_tests::settings::{Settings, SettingsFile};
use headwater_tests::{Client, Host};
use tempfile::TempDir;

const MARKER: &str = "headwater-compiled.json";

/// A component and a WAGI module, and a folder for their code and for a cache.
struct Site {
    settings: SettingsFile,
    folder: TempDir,
}

impl Site {
    fn new() -> Result<Self> {
        let settings = Settings::default()
            .component("hello", "/hello", &[])?
            .module("wagi-wat", "/module/...")?;
        Ok(Self {
            settings: settings.write()?,
            folder: TempDir::new()?,
        })
    }

    fn compiled(&self) -> PathBuf {
        self.folder.path().join("compiled")
    }

    fn cache(&self) -> PathBuf {
        self.folder.path().join("cache")
    }

    async fn compile(&self) -> Result<Finished> {
        compile(&self.settings.path(), &self.compiled()).await
    }

    /// Serves with the compiled code, checks that both services answer, and returns the warnings.
    async fn serve(&self) -> Result<Vec<String>> {
        let host = Host::serve(self.settings.path())
            .arg("--compiled")
            .arg(self.compiled())
            .arg("--code-cache")
            .arg(self.cache())
            .start()
            .await?;
        for path in ["/hello", "/module/x"] {
            let answer = Client::new().get(&format!("{}{path}", host.url())).await?;
            ensure!(answer.status == 200, "{path}: {answer:?}");
        }
        warnings(host).await
    }

    /// Returns the files of code.
    fn code(&self) -> Result<Vec<PathBuf>> {
        let mut files = Vec::new();
        for entry in fs::read_dir(self.compiled())? {
            let path = entry?.path();
            if path
                .extension()
                .is_some_and(|extension| extension == "code")
            {
                files.push(path);
            }
        }
        Ok(files)
    }
}

async fn compile(file: &Path, out: &Path) -> Result<Finished> {
    let compile = Host::headwater().arg("compile").arg(file);
    compile.arg("--out").arg(out).run_to_end().await
}

/// Stops a host, and returns the warnings in its log.
async fn warnings(mut host: Host) -> Result<Vec<String>> {
    ensure!(host.stop().await?.code() == Some(0));
    let lines = host.stderr().lines().into_iter();
    Ok(lines.filter(|line| line.contains(" WARN ")).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_compiled_ahead_is_served_without_compiling_and_without_a_cache() -> Result<()> {
    let site = Site::new()?;
    let done = site.compile().await?;
    ensure!(done.code == Some(0), "{done:?}");
    ensure!(done.stdout.starts_with("Compiled 2 guests of "), "{done:?}");
    let code = site.code()?;
    ensure!(code.len() == 2, "{code:?}");
    // Hosts of other users read it.
    for file in &code {
        let mode = fs::metadata(file)?.permissions().mode();
        ensure!(mode & 0o444 == 0o444, "{mode:o}");
    }
    let told = site.serve().await?;
    ensure!(told.is_empty(), "{told:?}");
    // A guest that had been compiled would be in the cache.
    ensure!(!site.cache().exists());

    let check = Host::headwater().arg("check").arg(site.settings.path());
    let check = check.arg("--compiled").arg(site.compiled());
    let check = check.run_to_end().await?;
    ensure!(
        check.code == Some(0) && !check.stdout.contains("compiled"),
        "{check:?}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_setting_and_a_variable_name_the_directory_and_lazy_guests_take_code_from_it()
-> Result<()> {
    let settings = Settings::default()
        .component("hello", "/hello", &[])?
        .text("load = \"lazy\"\n[server]\ncompiled = \"compiled\"\ncode_cache = \"cache\"\n")
        .write()?;
    let beside = |name: &str| settings.path().with_file_name(name);
    // The setting names a directory that does not exist yet.
    let done = compile(&settings.path(), &beside("compiled")).await?;
    ensure!(done.code == Some(0), "{done:?}");
    let host = Host::serve(settings.path()).start().await?;
    let answer = Client::new().get(&format!("{}/hello", host.url())).await?;
    ensure!(answer.status == 200, "{answer:?}");
    ensure!(warnings(host).await?.is_empty() && !beside("cache").exists());

    let directory = beside("compiled").display().to_string();
    let host = Host::serve(guest("hello")?)
        .env("HEADWATER_COMPILED", &directory)
        .arg("--code-cache")
        .arg(beside("cache"))
        .start()
        .await?;
    ensure!(warnings(host).await?.is_empty() && !beside("cache").exists());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_without_usable_code_is_compiled_with_one_warning() -> Result<()> {
    let site = Site::new()?;
    site.compile().await?;
    // A settings file with another guest in place of one of them.
    let settings = Settings::default()
        .component_as("hello", "stream", "/hello", &[])?
        .module("wagi-wat", "/module/...")?
        .write()?;
    let text = fs::read_to_string(settings.path())?.replace("\"/hello\"", "\"/other/...\"");
    fs::write(settings.path(), text)?;
    let host = Host::serve(settings.path())
        .arg("--compiled")
        .arg(site.compiled())
        .arg("--code-cache=off")
        .start()
        .await?;
    let told = warnings(host).await?;
    let [warning] = &told[..] else {
        anyhow::bail!("{told:?}")
    };
    ensure!(
        warning.contains("has no compiled code for the guest of the service `hello`"),
        "{warning}"
    );

    // A damaged file is warned of, not used, and not replaced.
    for file in site.code()? {
        let mut content = fs::read(&file)?;
        content[100] ^= 1;
        fs::write(&file, content)?;
    }
    let before: Vec<_> = site
        .code()?
        .iter()
        .map(fs::read)
        .collect::<Result<_, _>>()?;
    let told = site.serve().await?;
    ensure!(
        told.len() == 2 && told.iter().all(|it| it.contains("cannot be used")),
        "{told:?}"
    );
    let after: Vec<_> = site
        .code()?
        .iter()
        .map(fs::read)
        .collect::<Result<_, _>>()?;
    ensure!(before == after);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn code_for_another_version_or_machine_is_not_used_with_one_warning() -> Result<()> {
    let site = Site::new()?;
    site.compile().await?;
    let marker = site.compiled().join(MARKER);
    let whole: serde_json::Value = serde_json::from_slice(&fs::read(&marker)?)?;
    for (field, expected) in [
        ("wasmtime", "is for wasmtime 1.2.3, and this is "),
        ("platform", "is for 1.2.3, and this is "),
        ("settings", "is for another kind of CPU"),
    ] {
        let mut other = whole.clone();
        other[field] = "1.2.3".into();
        fs::write(&marker, other.to_string())?;
        let told = site.serve().await?;
        ensure!(told.len() == 1 && told[0].contains(expected), "{told:?}");
    }
    // Compiling again removes what cannot be used.
    let stale = site.compiled().join(format!("{}.code", "0".repeat(64)));
    fs::write(&stale, "old")?;
    ensure!(site.compile().await?.code == Some(0));
    ensure!(!stale.exists() && site.code()?.len() == 2);
    ensure!(site.serve().await?.is_empty());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_that_is_not_to_be_trusted_is_refused() -> Result<()> {
    let site = Site::new()?;
    let refuses = async |expected: &str| {
        for command in ["serve", "check"] {
            let host = Host::headwater().arg(command).arg(site.settings.path());
            let host = host.arg("--compiled").arg(site.compiled());
            let finished = host.run_to_end().await?;
            refused(&finished, FAILURE, &["--compiled", expected])
                .with_context(|| command.to_owned())?;
        }
        anyhow::Ok(())
    };
    refuses("No such file").await?;
    fs::create_dir(site.compiled())?;
    refuses(MARKER).await?;
    site.compile().await?;
    for mode in [0o775, 0o757] {
        fs::set_permissions(site.compiled(), fs::Permissions::from_mode(mode))?;
        refuses("other users may write to it").await?;
    }
    let done = site.compile().await?;
    refused(&done, FAILURE, &["--out", "other users may write to it"])?;
    fs::set_permissions(site.compiled(), fs::Permissions::from_mode(0o755))?;
    // A file that others may write is not used either.
    let file = site.code()?.remove(0);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o666))?;
    let told = site.serve().await?;
    ensure!(
        told.len() == 1 && told[0].contains("other users may write to it"),
        "{told:?}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_served_leaves_no_directory_to_serve_from() -> Result<()> {
    let site = Site::new()?;
    let bad = Settings::default()
        .component("hello", "/hello", &[])?
        .crafted("bad", "/bad", "(component)")
        .write()?;
    let done = compile(&bad.path(), &site.compiled()).await?;
    refused(&done, FAILURE, &["exports no HTTP handler"])?;
    ensure!(!site.compiled().join(MARKER).exists());
    // The next run takes the directory nevertheless.
    ensure!(site.compile().await?.code == Some(0));

    fs::write(site.folder.path().join("notes"), "mine")?;
    let done = compile(&site.settings.path(), site.folder.path()).await?;
    refused(&done, FAILURE, &["did not write", "empty one"])
}
