//! Chores of this workspace: `cargo xtask --help` lists them.
//!
//! It is not part of what is shipped, and nothing depends on it. Its tests are part of the gate: `tidy` checks the
//! house rules, and others check that the committed SmartModules belong to their sources and that the topic files are
//! valid. Start reading at [`main`]; each chore is a module.

mod absence;
mod asyncapi;
mod autoscale;
mod chaos;
mod dashboards;
mod images;
mod installed;
mod kubernetes;
mod release;
mod release_test;
mod scale;
mod siege;
mod simulate;
mod smartmodules;
mod tidy;
mod workspace;

use clap::Parser;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Chores of this workspace")]
enum Chore {
    /// Lets an instance be away for a while, and shows that this harms nothing
    Absence(absence::Arguments),
    /// Holds the AsyncAPI documents against the public parser; needs node and npm
    Asyncapi,
    /// Scales real processes by their lag as Kubernetes would, and draws it
    Autoscale(autoscale::Arguments),
    /// Builds the SmartModules and records what they were built from
    Smartmodules {
        /// Changes nothing: fails unless the committed artefacts belong to the sources, and, under the compiler that
        /// built them, unless a new build gives the same bytes
        #[arg(long)]
        check: bool,
    },
    /// Kills real processes while orders come in, and proves that every effect happened once
    Chaos(chaos::Arguments),
    /// Replaces every process by one of a new build while requests come in, and kills replicas
    ReleaseTest(release_test::Arguments),
    /// Lets instances come and go under load, and shows how long tasks stand still
    Scale(scale::Arguments),
    /// Holds the Dockerfiles and the compose file against hadolint and the public schema, and runs what the image holds in a root of its own
    Images(images::Arguments),
    /// Holds the Kubernetes manifests against schemas, public models, checkov and each other; needs python3, pip, node and npm
    Kubernetes(kubernetes::Arguments),
    /// Makes Grafana's dashboards from their description
    Dashboards {
        /// Changes nothing: fails unless they belong to it, and are what Grafana's public types say; needs node and npm
        #[arg(long)]
        check: bool,
    },
    /// Checks the house rules that no compiler checks
    Tidy,
    /// Makes the original's load test with the real `siege` and prints the report beside the original's
    Siege(siege::Arguments),
    /// Runs the task protocol from seeds on a simulated broker, network, disk and clock, and stops at the first broken law
    Simulate(simulate::Arguments),
    /// Puts the pinned test tools into `.tools`
    Tools,
}

fn main() -> anyhow::Result<()> {
    let root = workspace::root();
    match Chore::parse() {
        Chore::Absence(arguments) => absence::run(root, &arguments),
        Chore::Asyncapi => asyncapi::run(root),
        Chore::Autoscale(arguments) => autoscale::run(root, &arguments),
        Chore::Chaos(arguments) => chaos::run(root, &arguments),
        Chore::Smartmodules { check: true } => smartmodules::check(&root.join("smartmodules")),
        Chore::Smartmodules { check: false } => smartmodules::update(&root.join("smartmodules")),
        Chore::ReleaseTest(arguments) => release_test::run(root, &arguments),
        Chore::Scale(arguments) => scale::run(root, &arguments),
        Chore::Images(arguments) => images::run(root, &arguments),
        Chore::Kubernetes(arguments) => kubernetes::run(root, &arguments),
        Chore::Dashboards { check: true } => dashboards::check_with_schema(root),
        Chore::Dashboards { check: false } => dashboards::write(root),
        Chore::Tidy => tidy::check(root),
        Chore::Siege(arguments) => siege::run(root, &arguments),
        Chore::Simulate(arguments) => simulate::run(root, &arguments),
        Chore::Tools => {
            let mongod = orderflow_testkit::tools::pinned_mongod(&orderflow_testkit::tools::directory())?;
            println!("mongod: {}", mongod.display());
            let prometheus = orderflow_testkit::tools::pinned_prometheus(&orderflow_testkit::tools::directory())?;
            println!("prometheus: {}\npromtool: {}", prometheus.server.display(), prometheus.promtool.display());
            Ok(())
        }
    }
}
