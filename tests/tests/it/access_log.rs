//! Promise: the access log has a line for each selected request, in the configured files.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use headwater_tests::guests::guest;
use headwater_tests::settings::{Settings, SettingsFile};
use headwater_tests::{Client, Host};
use serde_json::Value;

/// Settings of `faulty` at `/` and an access log beside the settings.
fn site(log: &str) -> Result<SettingsFile> {
    let text = format!(
        "[access_log]\nto = \"access.log\"\n{log}\n\
         [[service]]\nname = \"faulty\"\nroute = \"/...\"\ncomponent = {:?}\n",
        guest("faulty")?
    );
    Settings::default().text(&text).write()
}

/// Sends this many requests, and returns their ids.
async fn ask(host: &Host, path: &str, count: usize) -> Result<HashSet<String>> {
    let client = Client::new();
    let url = format!("{}{path}", host.url());
    let answers = try_join_all((0..count).map(|_| client.get(&url))).await?;
    Ok(answers
        .iter()
        .map(|answer| answer.request_id().to_owned())
        .collect())
}

/// Returns the files of the log, the newest last.
fn files(site: &SettingsFile) -> Result<Vec<PathBuf>> {
    let file = site.path();
    let folder = fs::read_dir(file.parent().context("no folder")?)?;
    let paths = folder
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<Vec<_>>>()?;
    let is_log = |path: &PathBuf| path.to_string_lossy().contains("access.log");
    let mut paths: Vec<_> = paths.into_iter().filter(is_log).collect();
    // The file without a time in its name is the newest.
    paths.sort_by_key(|path| (path.ends_with("access.log"), path.clone()));
    Ok(paths)
}

fn lines(path: &Path) -> Result<Vec<Value>> {
    let text = fs::read_to_string(path)?;
    let lines = text.lines().map(|line| Ok(serde_json::from_str(line)?));
    lines.collect()
}

fn ids(lines: &[Value]) -> Result<HashSet<String>> {
    let ids = lines.iter().map(|line| line["request_id"].as_str());
    let ids: HashSet<_> = ids.flatten().map(str::to_owned).collect();
    ensure!(
        ids.len() == lines.len(),
        "a line is there twice, or has no id"
    );
    Ok(ids)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_request_has_one_line_in_one_of_the_files() -> Result<()> {
    let site = site("rotate = \"10KiB\"")?;
    let mut host = Host::serve(site.path()).start().await?;
    let asked = ask(&host, "/", 200).await?;
    ensure!(host.stop().await?.code() == Some(0));
    let files = files(&site)?;
    ensure!(files.len() > 3, "{files:?}");
    let mut all = Vec::new();
    for file in &files {
        // A line is about 500 bytes long, and the last may exceed the limit.
        let length = fs::metadata(file)?.len();
        ensure!(length < 12 << 10, "{} has {length} bytes", file.display());
        all.extend(lines(file)?);
    }
    ensure!(ids(&all)? == asked, "{} lines", all.len());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn only_so_many_old_files_are_kept() -> Result<()> {
    let site = site("rotate = \"10KiB\"\nkeep = 2")?;
    let mut host = Host::serve(site.path()).start().await?;
    let asked = ask(&host, "/", 200).await?;
    ensure!(host.stop().await?.code() == Some(0));
    let files = files(&site)?;
    ensure!(files.len() == 3, "{files:?}");
    let newest = lines(&files[2])?;
    ensure!(ids(&newest)?.is_subset(&asked));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_another_program_moves_is_made_anew() -> Result<()> {
    let site = site("")?;
    let mut host = Host::serve(site.path()).start().await?;
    let file = site.path().with_file_name("access.log");
    let first = ask(&host, "/", 5).await?;
    let moved = site.path().with_file_name("moved");
    fs::rename(&file, &moved)?;
    let second = ask(&host, "/", 5).await?;
    ensure!(host.stop().await?.code() == Some(0));
    let mut all = lines(&moved)?;
    all.extend(lines(&file)?);
    ensure!(ids(&all)? == first.union(&second).cloned().collect());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_sample_of_none_what_failed_is_there() -> Result<()> {
    let site = site("sample = 0")?;
    let mut host = Host::serve(site.path()).start().await?;
    ask(&host, "/", 20).await?;
    let failed = ask(&host, "/error", 3).await?;
    ensure!(host.stop().await?.code() == Some(0));
    let lines = lines(&site.path().with_file_name("access.log"))?;
    ensure!(ids(&lines)? == failed, "{lines:?}");
    for line in lines {
        ensure!(line["status"] == 500 && line["fault"].is_string(), "{line}");
        ensure!(
            line["service"] == "faulty" && line["path"] == "/error",
            "{line}"
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_sample_of_half_about_half_is_there() -> Result<()> {
    let site = site("sample = 0.5")?;
    let mut host = Host::serve(site.path()).start().await?;
    ask(&host, "/", 400).await?;
    ensure!(host.stop().await?.code() == Some(0));
    let lines = lines(&site.path().with_file_name("access.log"))?;
    // Within ten standard deviations.
    ensure!((100..300).contains(&lines.len()), "{} lines", lines.len());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_combined_format_is_what_web_servers_write() -> Result<()> {
    let site = site("format = \"combined\"")?;
    let mut host = Host::serve(site.path()).start().await?;
    ask(&host, "/a%20b?secret=1", 1).await?;
    ensure!(host.stop().await?.code() == Some(0));
    let text = fs::read_to_string(site.path().with_file_name("access.log"))?;
    ensure!(text.starts_with("127.0.0.1 - - ["), "{text}");
    ensure!(
        text.trim_end()
            .ends_with("] \"GET /a%20b HTTP/1.1\" 200 5 \"-\" \"-\""),
        "{text}"
    );
    Ok(())
}
