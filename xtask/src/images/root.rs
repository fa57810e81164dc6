//! What the image holds, in a directory: the program and the system libraries that it names, and nothing else. In there, read-only but for `/data`, the program starts, takes an order and stops.
//!
//! The root and its mounts are those of a namespace of our own, so that nobody sees them and nothing is left. Libraries come from this machine; in the image they are those of its base.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};
use serde_json::{Value, json};

/// How long the program may take for a step.
const LIMIT: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(50);
/// Mounts the root over itself, read-only, and a `/data` that can be written, and runs what follows there: as the image's user, where there is another one than root.
const ENTER: &str = r#"
set -eu
root=$1 user=$2
shift 2
mount --bind "$root" "$root"
mount -o remount,bind,ro "$root"
mount -t tmpfs -o mode=0777,size=512m data "$root/data"
[ "$user" = 0 ] || exec setpriv --no-new-privs chroot --userspec="$user:$user" "$root" "$@"
exec setpriv --no-new-privs chroot "$root" "$@"
"#;

/// Fails unless the program runs in a root that is what the image is.
pub(super) fn check(workspace: &Path, program: &Path) -> anyhow::Result<()> {
    let dockerfile = fs::read_to_string(workspace.join("Dockerfile")).context("cannot read `Dockerfile`")?;
    let image = Image::of(&dockerfile)?;
    let directory = tempfile::Builder::new().prefix("orderflow-image-").tempdir().context("cannot create a directory")?;
    let root = directory.path().join("root");
    let bytes = assemble(&image, program, &root)?;
    let addresses = directory.path().join("log");
    let mut running = Running::start(&image, &root, &addresses)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start a runtime")?;
    let placed = runtime.block_on(order(&mut running))?;
    let took = running.stop()?;
    println!("image: {} in all, an order is {placed}, it stops after SIGTERM in {} ms", megabytes(bytes), took.as_millis());
    Ok(())
}

/// What the last stage of the Dockerfile says.
struct Image {
    entrypoint: Vec<String>,
    command: Vec<String>,
    user: String,
}

impl Image {
    fn of(dockerfile: &str) -> anyhow::Result<Self> {
        let (_, last) = dockerfile.rsplit_once("\nFROM ").context("the Dockerfile has no stages")?;
        let said = |instruction: &str| last.lines().find_map(|line| line.strip_prefix(instruction)).map(str::trim);
        let list = |instruction: &str| -> anyhow::Result<Vec<String>> {
            let text = said(instruction).with_context(|| format!("the Dockerfile has no {instruction}"))?;
            serde_json::from_str(text).with_context(|| format!("{instruction} is no list"))
        };
        let user = said("USER ").and_then(|user| user.split(':').next()).context("the image runs as root")?;
        ensure!(user.parse::<u32>().is_ok_and(|user| user > 0), "the image's user must be a number, for Kubernetes to see that it is not root");
        Ok(Self { entrypoint: list("ENTRYPOINT")?, command: list("CMD")?, user: user.to_owned() })
    }
}

/// Puts the program and its libraries where the image has them; returns how many bytes that are.
fn assemble(image: &Image, program: &Path, root: &Path) -> anyhow::Result<u64> {
    let place = image.entrypoint.first().context("the image starts nothing")?;
    let output = Command::new("ldd").arg(program).output().context("cannot run `ldd`")?;
    let libraries = String::from_utf8_lossy(&output.stdout).lines().filter_map(library).collect::<Vec<_>>();
    ensure!(!libraries.is_empty(), "the program names no libraries");
    let mut bytes = 0;
    let files = libraries.iter().map(|path| (path.clone(), path.clone())).chain([(program.to_owned(), PathBuf::from(place))]);
    for (from, to) in files {
        let to = root.join(to.strip_prefix("/").unwrap_or(&to));
        let parent = to.parent().unwrap_or(root);
        fs::create_dir_all(parent).with_context(|| format!("cannot create `{}`", parent.display()))?;
        bytes += fs::copy(&from, &to).with_context(|| format!("cannot copy `{}`", from.display()))?;
    }
    fs::create_dir_all(root.join("data")).context("cannot create `/data`")?;
    Ok(bytes)
}

/// Reads a line such as `libm.so.6 => /lib/x86_64-linux-gnu/libm.so.6 (0x...)`.
fn library(line: &str) -> Option<PathBuf> {
    line.split_whitespace().find(|word| word.starts_with('/')).map(PathBuf::from)
}

struct Running {
    child: Child,
    log: PathBuf,
}

impl Running {
    fn start(image: &Image, root: &Path, log: &Path) -> anyhow::Result<Self> {
        let is_root = fs::metadata("/proc/self").is_ok_and(|metadata| std::os::unix::fs::MetadataExt::uid(&metadata) == 0);
        // Whoever is not root is so in a namespace, where there is no other user.
        let (namespaces, user): (&[&str], &str) = if is_root { (&["--mount"], &image.user) } else { (&["--mount", "--user", "--map-root-user"], "0") };
        let mut command = Command::new("unshare");
        command.args(namespaces).args(["sh", "-c", ENTER, "enter"]).arg(root).arg(user).args(&image.entrypoint).args(&image.command);
        command.args(["--http-addr=127.0.0.1:0", "--metrics-addr=127.0.0.1:0", "--sc-addr=127.0.0.1:0", "--spu-addr=127.0.0.1:0"]);
        let output = fs::File::create(log).with_context(|| format!("cannot create `{}`", log.display()))?;
        let errors = output.try_clone().context("cannot share a log")?;
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("ORDERFLOW_DATA_DIR", "/data");
        let child = command.stdin(Stdio::null()).stdout(output).stderr(errors).spawn().context("cannot run `unshare`: it is in util-linux")?;
        Ok(Self { child, log: log.to_owned() })
    }

    /// Returns where the HTTP API is, once it says so.
    async fn http(&mut self) -> anyhow::Result<String> {
        let began = Instant::now();
        loop {
            let said = fs::read_to_string(&self.log).unwrap_or_default();
            if let Some(url) = said.lines().find_map(|line| line.trim().strip_prefix("HTTP API")) {
                return Ok(url.trim().to_owned());
            }
            if let Some(status) = self.child.try_wait().context("its state is unknown")? {
                bail!("the program ended with {status}: {said}");
            }
            ensure!(began.elapsed() < LIMIT, "the program does not start: {said}");
            tokio::time::sleep(POLL).await;
        }
    }

    /// Tells it to stop, as the image says, and returns how long it took to.
    fn stop(&mut self) -> anyhow::Result<Duration> {
        let began = Instant::now();
        let status = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().context("cannot run `kill`")?;
        ensure!(status.success(), "it cannot be told to stop");
        loop {
            if let Some(status) = self.child.try_wait().context("its state is unknown")? {
                ensure!(status.success(), "it did not stop in order: {status}: {}", fs::read_to_string(&self.log).unwrap_or_default());
                return Ok(began.elapsed());
            }
            ensure!(began.elapsed() < LIMIT, "it does not stop");
            std::thread::sleep(POLL);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Places an order and returns what became of it.
async fn order(running: &mut Running) -> anyhow::Result<String> {
    let url = running.http().await?;
    let client = reqwest::Client::builder().no_proxy().timeout(LIMIT).build().context("no HTTP client")?;
    let began = Instant::now();
    while !client.get(format!("{url}/health/ready")).send().await.is_ok_and(|answer| answer.status().is_success()) {
        ensure!(began.elapsed() < LIMIT, "it does not become ready");
        tokio::time::sleep(POLL).await;
    }
    let answer = client.post(format!("{url}/food-delivery/orders")).json(&json!({"orderId": "o-1", "item": "chicken", "price": 18_000})).send().await;
    let order: Value = answer.context("it takes no order")?.json().await.context("it answers no JSON")?;
    let status = order["status"].as_str().unwrap_or_default();
    ensure!(status == "Placed", "the order is not placed: {order}");
    Ok(status.to_lowercase())
}

fn megabytes(bytes: u64) -> String {
    format!("{:.0} MB", bytes as f64 / 1e6)
}
