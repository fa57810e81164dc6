//! A running system under a little load, a real Prometheus that scrapes it every second, and every expression of every panel and alert.

use std::process::{Command, Stdio};
use std::time::Duration;

use orderflow_testkit::{Prometheus, tools};
use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::catalogue::{Catalogue, metrics_of};
use crate::dashboards::{self, Dashboard};
use crate::load;
use crate::rules::{alerts, repository};
use crate::support::{ALL_SYSTEMS, Instance, LIMIT};

/// Pause between two looks at what was empty.
const POLL: Duration = Duration::from_millis(500);

/// Counters that appear with their first event, which a healthy system does not have.
const APPEAR_WHEN_NEEDED: [&str; 1] = ["orderflow_task_failures_total"];

/// A client of Prometheus.
struct Asked<'a> {
    prometheus: &'a Prometheus,
    http: reqwest::Client,
}

impl Asked<'_> {
    async fn get(&self, path: &str, parameters: &[(&str, &str)]) -> Value {
        let request = self.http.get(format!("http://{}/api/v1/{path}", self.prometheus.address())).query(parameters);
        let answer: Value = request.send().await.expect("Prometheus answers").json().await.expect("its answers are JSON");
        assert_eq!(answer["status"], "success", "{parameters:?}: {answer}");
        answer["data"].clone()
    }

    /// Returns how many series have a value: not a number is none.
    async fn series(&self, expression: &str) -> usize {
        let data = self.get("query", &[("query", expression)]).await;
        let has_value = |series: &&Value| series["value"][1].as_str().is_some_and(|value| value != "NaN");
        data["result"].as_array().unwrap_or_else(|| panic!("{expression} is a vector: {data}")).iter().filter(has_value).count()
    }
}

#[tokio::test]
async fn every_expression_of_dashboards_and_alerts_runs_on_a_system_under_load() {
    let instance = Instance::start(&[ALL_SYSTEMS]).await;
    let prometheus = Prometheus::start(&[instance.address("metrics")], &[repository("grafana/prometheus/rules.yml")]);
    let asked = Asked { prometheus: &prometheus, http: reqwest::Client::builder().no_proxy().timeout(LIMIT).build().expect("an HTTP client") };
    let look = async {
        panels_show_something(&asked).await;
        alerts_are_about_something_and_none_fires(&asked).await;
        names_are_those_of_the_catalogue(&instance.metrics().await).await;
        promtool_takes(&instance.metrics().await);
    };
    tokio::select! {
        () = look => {}
        () = load::go_on(&instance) => unreachable!("the load goes on"),
    }
}

async fn panels_show_something(asked: &Asked<'_>) {
    let queries: Vec<_> = dashboards::all().iter().flat_map(Dashboard::queries).collect();
    let began = Instant::now();
    let mut empty: Vec<_> = queries.iter().collect();
    loop {
        let mut still_empty = Vec::new();
        for query in empty {
            if asked.series(&query.expression).await == 0 && !query.may_be_empty {
                still_empty.push(query);
            }
        }
        if still_empty.is_empty() {
            break;
        }
        let named: Vec<String> = still_empty.iter().map(|query| format!("{}: {}", query.place, query.expression)).collect();
        assert!(began.elapsed() < LIMIT, "{} panels show nothing:\n{}", named.len(), named.join("\n"));
        empty = still_empty;
        sleep(POLL).await;
    }
}

async fn alerts_are_about_something_and_none_fires(asked: &Asked<'_>) {
    for alert in alerts() {
        asked.series(&alert.expression).await;
        for metric in metrics_of(&alert.expression).into_iter().filter(|metric| !APPEAR_WHEN_NEEDED.contains(&metric.as_str())) {
            assert!(asked.series(&metric).await > 0, "{} looks at `{metric}`, which is not there", alert.name);
        }
    }
    let groups = asked.get("rules", &[]).await;
    for rule in groups["groups"].as_array().into_iter().flatten().flat_map(|group| group["rules"].as_array().into_iter().flatten()) {
        assert_eq!(rule["health"], "ok", "{rule}");
        assert_ne!(rule["state"], "firing", "nothing is wrong: {rule}");
    }
}

/// What is shown is in the catalogue, with a help and under its type, and what is in it is shown unless it needs an occasion.
async fn names_are_those_of_the_catalogue(scrape: &str) {
    let catalogue = Catalogue::of_the_program().await;
    for line in scrape.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let name = line.split(['{', ' ']).next().unwrap_or_default();
        assert!(catalogue.exports(name), "`{name}` is exported and not in the catalogue");
    }
    let needs_occasion = ["orderflow_task_failures_total", "orderflow_api_reconnects_total", "orderflow_trace_spans_total"];
    for name in catalogue.names().filter(|name| !needs_occasion.contains(name)) {
        assert!(scrape.contains(&format!("# HELP {name} ")) && scrape.contains(&format!("# TYPE {name} ")), "`{name}` is in the catalogue and not exported");
    }
}

fn promtool_takes(scrape: &str) {
    use std::io::Write as _;
    let promtool = tools::prometheus().expect("promtool is there").promtool;
    let mut child =
        Command::new(promtool).args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("promtool runs");
    child.stdin.take().expect("its stdin is a pipe").write_all(scrape.as_bytes()).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    assert!(output.status.success() && said.trim().is_empty(), "{said}");
}
