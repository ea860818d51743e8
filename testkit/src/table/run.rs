//! Runs files of rows, and counts.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::{
    PLANES, fixture,
    judge::{Observation, differences, problems},
    observed::{Answers, Logged, logged},
    row::{File, Placed, Request, Row, completed, written},
    send::{Sent, proxy_of, send},
};
use crate::{LocalMesh, eventually};

/// How often a row is tried in whose outcome chance or time has a part.
const ATTEMPTS: usize = 3;

#[derive(Default)]
struct Count {
    rows: usize,
    failed: usize,
    differences: usize,
}

/// Runs the files in `folder` whose name, or rows whose title, contains `filter`; ends with the line
/// `rows: N, data planes: 2, differences: D`.
///
/// # Errors
/// When a file can't be read, a mesh doesn't start, a row fails, or data planes differ where no decision says so.
pub fn run(folder: &Path, filter: &str) -> Result<()> {
    let mut paths: Vec<_> = std::fs::read_dir(folder)
        .with_context(|| folder.display().to_string())?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .collect();
    paths.sort();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut count = Count::default();
    for path in paths {
        let name = path.file_stem().and_then(|name| name.to_str()).unwrap_or_default();
        let mut file =
            File::read(&std::fs::read_to_string(&path)?).with_context(|| path.display().to_string())?;
        file.name_certificates()?;
        if !name.contains(filter) {
            file.rows.retain(|row| row.title.contains(filter));
        }
        if !file.rows.is_empty() {
            let started = Instant::now();
            let before = (count.rows, count.failed);
            runtime.block_on(one(name, &file, &mut count)).with_context(|| path.display().to_string())?;
            let (rows, failed) = (count.rows - before.0, count.failed - before.1);
            println!("{name}: {rows} rows, {failed} failed ({:.1} s)", started.elapsed().as_secs_f32());
        }
    }
    println!("{} rows failed", count.failed);
    println!("rows: {}, data planes: {}, differences: {}", count.rows, PLANES.len(), count.differences);
    ensure!(count.rows > 0, "no row has `{filter}` in its title");
    if count.failed > 0 || count.differences > 0 {
        bail!("{} rows failed, {} differences", count.failed, count.differences);
    }
    Ok(())
}

/// All rows of a file, on a mesh of their own.
async fn one(name: &str, file: &File, count: &mut Count) -> Result<()> {
    let mut mesh = LocalMesh::start_with(&[("TRYSAIL_RULE_HOLD", "0s")]).await?;
    mesh.put_all([fixture::settings(file)?].into_iter().chain(fixture::files(file)))?;
    let sockets = mesh.shared_folder("sockets")?;
    mesh.apply(&fixture::servers(&sockets)).await?;
    let mut words = BTreeMap::new();
    for version in fixture::VERSIONS {
        words.insert(version.to_owned(), mesh.pod("servers", version)?.address().to_owned());
        words.insert(format!("{version}_socket"), fixture::socket(&sockets, version));
    }
    if file.meshed {
        mesh.apply(&fixture::meshed(&sockets)).await?;
        words.insert("meshed".to_owned(), fixture::meshed_address(&mesh)?);
    }
    let namespace = |index: usize| format!("r{index}");
    let placed: Vec<Placed> = file
        .rows
        .iter()
        .enumerate()
        .map(|(index, row)| row.in_namespace(&namespace(index), &words))
        .collect::<Result<_>>()?;
    let mut objects = vec![fixture::gateway_service()];
    for (index, object) in file.config.iter().enumerate() {
        objects.push(completed(written(object, &words)?, "istio-system", index)?);
    }
    for (index, row) in placed.iter().enumerate() {
        objects.extend(fixture::of_row(&mesh, &namespace(index))?);
        objects.extend(row.objects.iter().cloned());
    }
    if file.meshed {
        objects.extend(fixture::meshed_routes());
    }
    objects.extend(fixture::sentinel());
    mesh.put_all(objects)?;
    mesh.apply(&fixture::clients()).await?;
    settled(&mesh, file).await?;

    let mut pending: Vec<usize> = (0..file.rows.len()).collect();
    let mut wrong: BTreeMap<usize, Wrong> = BTreeMap::new();
    for attempt in 1..=ATTEMPTS {
        if pending.is_empty() {
            break;
        }
        let mut observed = Vec::new();
        for plane in PLANES {
            observed.push(observe(&mesh, plane, &placed, &pending, attempt).await?);
        }
        for row in std::mem::take(&mut pending) {
            let found = judged(&file.rows[row], &placed[row], row, attempt, &observed);
            if found.problems.is_empty() {
                wrong.remove(&row);
            } else {
                if placed[row].requests.iter().any(Request::has_chance) {
                    pending.push(row);
                }
                wrong.insert(row, found);
            }
        }
    }
    count.rows += file.rows.len();
    for (row, found) in wrong {
        count.failed += 1;
        count.differences += found.differences;
        println!("FAILED {name}: {}", file.rows[row].title);
        for problem in &found.problems {
            println!("    {problem}");
        }
    }
    Ok(())
}

/// What is wrong with a row.
struct Wrong {
    problems: Vec<String>,
    /// How many of them are differences between the data planes.
    differences: usize,
}

/// Judges what was observed of a row in one attempt, on each data plane.
fn judged(
    row: &Row,
    placed: &Placed,
    number: usize,
    attempt: usize,
    observed: &[BTreeMap<String, Observation>],
) -> Wrong {
    let mut wrong = Wrong { problems: Vec::new(), differences: 0 };
    for (index, request) in placed.requests.iter().enumerate() {
        let id = id(number, index, attempt);
        let both: Vec<_> = observed.iter().map(|plane| plane.get(&id).cloned().unwrap_or_default()).collect();
        for (plane, found) in PLANES.iter().zip(&both) {
            let found = problems(request, found);
            let said = found.iter().map(|problem| format!("{} on {plane}: {problem}", request.line));
            wrong.problems.extend(said);
        }
        for (aspect, what) in differences(request, &both[0], &both[1]) {
            if !row.differs.contains_key(aspect) {
                wrong.differences += 1;
                wrong.problems.push(format!("{}: {aspect} differ: {what}", request.line));
            }
        }
    }
    wrong
}

fn id(row: usize, request: usize, attempt: usize) -> String {
    format!("r{row}.{request}.{attempt}")
}

/// Sends the rows' first requests, then the second, and so on: a row's requests come in order.
async fn observe(
    mesh: &LocalMesh,
    plane: &str,
    rows: &[Placed],
    chosen: &[usize],
    attempt: usize,
) -> Result<BTreeMap<String, Observation>> {
    let most = chosen.iter().map(|row| rows[*row].requests.len()).max().unwrap_or_default();
    let mut answers: BTreeMap<String, Answers> = BTreeMap::new();
    for number in 0..most {
        let requests = chosen.iter().filter_map(|row| {
            let request = rows[*row].requests.get(number)?;
            Some(Sent { id: id(*row, number, attempt), request })
        });
        answers.extend(send(mesh, plane, &requests.collect::<Vec<_>>())?);
    }
    // A request may pass other proxies of the table, too: the log of the one that it came from counts.
    let mut origins: BTreeMap<String, &str> = BTreeMap::new();
    for row in chosen {
        for (number, request) in rows[*row].requests.iter().enumerate() {
            origins.insert(id(*row, number, attempt), &request.from);
        }
    }
    let proxies: BTreeSet<&str> = origins.values().copied().collect();
    let logged_requests = chosen.iter().flat_map(|row| {
        rows[*row]
            .requests
            .iter()
            .enumerate()
            .filter(|(_, request)| request.is_logged())
            .map(|(number, _)| id(*row, number, attempt))
    });
    let wanted: usize = logged_requests
        .filter_map(|id| answers.get(&id).filter(|answers| answers.error.is_none()))
        .map(|answers| answers.all.len())
        .sum();
    let read = || -> Result<BTreeMap<String, Vec<_>>> {
        let mut lines: BTreeMap<String, Vec<_>> = BTreeMap::new();
        for from in &proxies {
            for (id, more) in logged(&proxy_of(mesh, from, plane)?.log("istio-proxy")) {
                if origins.get(&id).is_some_and(|origin| origin == from) {
                    // Subsets that lead to a data plane's own servers are named after it.
                    let own = format!("|{plane}|");
                    let named = more
                        .into_iter()
                        .map(|line| Logged { cluster: line.cluster.replace(&own, "|plane|"), ..line });
                    lines.entry(id).or_default().extend(named);
                }
            }
        }
        Ok(lines)
    };
    // Proxies write their logs when they get to it; a request without a line is judged without.
    let deadline = Instant::now() + Duration::from_secs(2);
    let mut lines = read()?;
    while lines.values().map(Vec::len).sum::<usize>() < wanted && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(50)).await;
        lines = read()?;
    }
    let all = answers.into_iter().map(|(id, answers)| {
        let logged = lines.remove(&id).unwrap_or_default();
        (id, Observation { answers, logged })
    });
    Ok(all.collect())
}

/// Waits until every proxy answers the host that was applied last, and clients reach the servers with sidecars.
async fn settled(mesh: &LocalMesh, file: &File) -> Result<()> {
    let request = Request::get("http://sentinel.sentinel/");
    let meshed = Request::get("http://meshed.table/");
    let announced = file
        .mesh
        .as_ref()
        .is_some_and(|mesh| mesh.pointer("/defaultConfig/gatewayTopology/proxyProtocol").is_some());
    for plane in PLANES {
        for from in ["client", "other", "gateway"] {
            let mut request = request.clone();
            request.from = from.to_owned();
            request.announce = (announced && from == "gateway").then(|| "PROXY UNKNOWN".to_owned());
            eventually(Duration::from_secs(20), async || {
                let found = send(mesh, plane, &[Sent { id: "settled".to_owned(), request: &request }])?;
                let there = found["settled"].all.first().is_some_and(|answer| answer.text == "there");
                ensure!(there, "{from}-{plane} has not all of the configuration: {:?}", found["settled"]);
                Ok(())
            })
            .await?;
        }
        if file.meshed {
            eventually(Duration::from_secs(20), async || {
                let found = send(mesh, plane, &[Sent { id: "settled".to_owned(), request: &meshed }])?;
                let there = found["settled"].all.first().is_some_and(|answer| answer.version() == "meshed");
                ensure!(there, "client-{plane} does not reach its server: {:?}", found["settled"]);
                Ok(())
            })
            .await?;
        }
    }
    // Other ports' routes come with the same push, a moment later.
    tokio::time::sleep(Duration::from_millis(300)).await;
    Ok(())
}
