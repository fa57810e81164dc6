//! Topics and SmartModules.

use fluvio::metadata::smartmodule::SmartModuleSpec;
use fluvio::metadata::topic::{CleanupPolicy, TopicSpec};
use fluvio::{FluvioAdmin, FluvioClusterConfig};
use fluvio_streams::fluvio::THIN_MAP;
use fluvio_streams::log::{Log, LogError, NewTopic};
use futures_util::future::join_all;
use orderflow_broker::Broker;

use crate::site::Site;
use crate::support::{artifact, connect, create, start_broker};

async fn admin(broker: &Broker) -> FluvioAdmin {
    FluvioAdmin::connect_with_config(&FluvioClusterConfig::new(broker.sc_addr().to_string())).await.expect("the admin client connects")
}

#[tokio::test]
async fn a_topic_is_created_as_wanted_and_left_as_it_is() {
    let site = Site::start().await;
    let log = site.connect().await;
    let topic = NewTopic { name: "events".to_owned(), partitions: 3, retention_seconds: Some(3_600), segment_bytes: Some(1 << 20) };
    log.ensure_topic(&topic).await.expect("is created");
    for partition in 0..3 {
        log.writer("events", partition).await.expect("can be used at once");
    }
    log.ensure_topic(&NewTopic { partitions: 5, ..topic }).await.expect("is there");
    assert_eq!(log.partitions("events").await.expect("answers"), 3);
    let spec = site.admin().await.list::<TopicSpec, String>(vec![site.topic("events")]).await.expect("lists").remove(0).spec;
    assert_eq!(spec.get_clean_policy().map(CleanupPolicy::retention_secs), Some(3_600));
    assert_eq!(spec.get_storage().and_then(|storage| storage.segment_size), Some(1 << 20));
}

#[tokio::test]
async fn a_topic_that_many_want_at_once_is_created_once() {
    let site = Site::start().await;
    let log = site.connect().await;
    join_all((0..20).map(|_| create(&log, "events", 2))).await;
    assert_eq!(log.partitions("events").await.expect("answers"), 2);
}

#[tokio::test]
async fn a_name_that_is_not_allowed_is_refused() {
    let site = Site::start().await;
    let log = site.connect().await;
    let topic = NewTopic { name: "No Such Name".to_owned(), partitions: 1, retention_seconds: None, segment_bytes: None };
    let error = log.ensure_topic(&topic).await.expect_err("is refused");
    assert!(matches!(&error, LogError::Refused { action, .. } if action == "creating topic `No Such Name`"), "{error}");
}

#[tokio::test]
async fn partitions_that_were_added_are_found() {
    let site = Site::start().await;
    let log = site.connect().await;
    create(&log, "events", 1).await;
    let count = fluvio_sc_schema::topic::AddPartition { count: 2 };
    site.admin().await.update::<TopicSpec>(site.topic("events"), fluvio_sc_schema::topic::UpdateTopicAction::AddPartition(count)).await.expect("is extended");
    assert_eq!(log.partitions("events").await.expect("answers"), 3);
    log.writer("events", 2).await.expect("opens");
}

/// On a broker of its own: what others uploaded to a cluster is not to be changed.
#[tokio::test]
async fn a_smartmodule_is_what_was_given_last() {
    let broker = start_broker().await;
    let log = connect(&broker).await;
    let held = async || {
        let modules = admin(&broker).await.list_with_params::<SmartModuleSpec, String>(vec![THIN_MAP.to_owned()], false).await.expect("lists");
        modules.into_iter().map(|module| module.spec.wasm.as_raw_wasm().expect("unpacks")).collect::<Vec<_>>()
    };
    for name in ["thin-map", "thin-map", "event-filter", "thin-map"] {
        log.ensure_smartmodule(THIN_MAP, &artifact(name)).await.expect("is uploaded");
        assert_eq!(held().await, [artifact(name)]);
    }
    let error = log.ensure_smartmodule("broken", &[0; 17 << 20]).await.expect_err("is too large");
    assert!(matches!(&error, LogError::Refused { action, .. } if action == "uploading SmartModule `broken`"), "{error}");
}
