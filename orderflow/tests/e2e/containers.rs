//! What processes in containers need: roles apart, each with its own health; a broker that is reached by another name than it listens on; a database whose URI stands in a file.

use fluvio::metadata::spu::SpuSpec;
use fluvio::{FluvioAdmin, FluvioClusterConfig};
use orderflow_testkit::Mongod;
use rustix::process::Signal;
use serde_json::json;

use crate::support::{Instance, orderflow, run};

/// Goal: what the manifests do works with the binary: a process per role, all with health and metrics of their own, topics applied twice, an order through all of them, SIGTERM to each.
#[tokio::test(flavor = "multi_thread")]
async fn a_process_for_each_role_works_behind_services_and_every_one_says_how_it_is() {
    let mut broker = Instance::start(&["--roles=broker", "--advertised-spu-addr=localhost"]).await;
    let cluster = format!("--fluvio={}", broker.address("sc"));
    let admin = FluvioAdmin::connect_with_config(&FluvioClusterConfig::new(broker.address("sc"))).await.expect("it can be asked");
    let told = admin.all::<SpuSpec>().await.expect("it tells of its data plane").remove(0).spec.public_endpoint;
    assert_eq!(format!("{}:{}", told.ingress[0].hostname.clone().unwrap_or_default(), told.port), broker.address("spu").replace("127.0.0.1", "localhost"));
    for created in [true, false] {
        let output = run(&["topics", "apply", &cluster]).await;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(said.starts_with("0 topics created"), !created, "{said}");
    }
    let mongod = tokio::task::spawn_blocking(Mongod::start).await.expect("a server");
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("uri");
    let uri = mongod.uri().replacen("/?", &format!("/{}?", mongod.database()), 1);
    std::fs::write(&file, uri + "\n").expect("the file is written");
    let mongodb = format!("--mongodb-file={}", file.display());
    let mut processors = Instance::start(&["--roles=processors", &cluster]).await;
    let mut views = Instance::start(&["--roles=views", &cluster, &mongodb]).await;
    let mut api = Instance::start(&["--roles=api", &cluster, &mongodb]).await;
    let (status, answer) = api.post("/food-delivery/orders", &json!({ "orderId": "o-1", "item": "chicken" })).await;
    assert!(matches!(status, 201 | 202), "{status} {answer}");
    api.order("o-1", "Placed").await;
    for instance in [&mut api, &mut views, &mut processors, &mut broker] {
        assert_eq!(instance.get("/health/live").await.0, 200);
        let metrics = reqwest::get(format!("http://{}/metrics", instance.address("metrics"))).await.expect("it shows metrics");
        assert!(metrics.text().await.expect("they are text").contains("orderflow_"));
        assert_eq!(instance.signal(Signal::TERM).await.0, Some(0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_secret_nothing_starts() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("uri");
    let flag = format!("--mongodb-file={}", file.display());
    for (content, says) in [(None, "cannot read"), (Some(""), "is empty")] {
        content.into_iter().for_each(|content| std::fs::write(&file, content).expect("the file is written"));
        let output = orderflow(&["up", "--ephemeral", &flag]).output().await.expect("it runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains("--mongodb-file") && said.contains(says), "{said}");
    }
    for (variable, flag) in [("ORDERFLOW_FLUVIO", "--fluvio"), ("ORDERFLOW_PAYMENT_PROVIDER_URL", "--payment-provider-url")] {
        let output = orderflow(&["up", "--ephemeral"]).env(variable, "").output().await.expect("it runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(flag), "an empty {variable}: {said}");
    }
}
