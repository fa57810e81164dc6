//! Topics, partitions and nodes through the admin client; starting, stopping and starting again.

use fluvio::{
    Fluvio,
    metadata::{
        customspu::CustomSpuSpec,
        objects::ListRequest,
        partition::PartitionSpec,
        spg::SpuGroupSpec,
        spu::SpuSpec,
        tableformat::TableFormatSpec,
        topic::{AddPartition, CleanupPolicy, PartitionMap, SegmentBasedPolicy, TopicSpec, TopicStorageConfig, UpdateTopicAction},
    },
};
use fluvio_protocol::link::ErrorCode;
use fluvio_sc_schema::ApiError;
use orderflow_broker::{Broker, DataDir, Error, Options};

use crate::harness::{admin, connect, create_topic, partition, produce, read_all, start, until, values, within};

fn code(result: anyhow::Result<()>) -> ErrorCode {
    let error = result.expect_err("the request is refused");
    match error.downcast::<ApiError>().expect("the broker said why") {
        ApiError::Code(code, _) => code,
        error => panic!("unexpected error: {error}"),
    }
}

async fn create(fluvio: &Fluvio, name: &str, spec: TopicSpec) -> anyhow::Result<()> {
    within(fluvio.admin().await.create(name.to_owned(), false, spec)).await
}

async fn names(fluvio: &Fluvio) -> Vec<String> {
    let listed = within(fluvio.admin().await.all::<TopicSpec>()).await.expect("topics are listed");
    listed.into_iter().map(|topic| topic.name).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn topics_are_created_listed_described_and_deleted() {
    let broker = start().await;
    let fluvio = connect(&broker).await;
    let mut spec = TopicSpec::new_computed(3, 1, None);
    spec.set_cleanup_policy(CleanupPolicy::Segment(SegmentBasedPolicy { time_in_seconds: 3600 }));
    spec.set_storage(TopicStorageConfig { segment_size: Some(4096), max_partition_size: Some(65536) });
    create(&fluvio, "orders", spec.clone()).await.unwrap();
    create(&fluvio, "payments", TopicSpec::new_computed(1, 1, None)).await.unwrap();
    assert_eq!(names(&fluvio).await, ["orders", "payments"]);

    let admin = fluvio.admin().await;
    let described = within(admin.list::<TopicSpec, _>(vec!["orders".to_owned()])).await.unwrap();
    assert_eq!(described.len(), 1);
    assert_eq!(described[0].spec, spec);
    assert_eq!(described[0].status.resolution.resolution_label(), "provisioned");
    assert_eq!(described[0].status.replica_map.len(), 3);

    within(admin.delete::<TopicSpec>("orders")).await.unwrap();
    assert_eq!(names(&fluvio).await, ["payments"]);
    assert_eq!(code(within(admin.delete::<TopicSpec>("orders")).await), ErrorCode::TopicNotFound);
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn topics_that_this_broker_cannot_keep_are_refused() {
    let broker = start().await;
    let fluvio = connect(&broker).await;
    let plain = || TopicSpec::new_computed(1, 1, None);
    create(&fluvio, "taken", plain()).await.unwrap();

    assert_eq!(code(create(&fluvio, "taken", plain()).await), ErrorCode::TopicAlreadyExists);
    for name in ["Upper", "under_score", "-edge", "", "../escape", &"x".repeat(64)] {
        assert_eq!(code(create(&fluvio, name, plain()).await), ErrorCode::TopicInvalidName, "{name:?}");
    }
    let replicated = TopicSpec::new_computed(1, 2, None);
    assert_eq!(code(create(&fluvio, "replicated", replicated).await), ErrorCode::TopicError);
    let empty = TopicSpec::new_computed(0, 1, None);
    assert_eq!(code(create(&fluvio, "empty", empty).await), ErrorCode::TopicError);
    let huge = TopicSpec::new_computed(u32::MAX, 1, None);
    assert_eq!(code(create(&fluvio, "huge", huge).await), ErrorCode::TopicError);
    let elsewhere = TopicSpec::new_assigned(vec![PartitionMap { id: 0, replicas: vec![1], mirror: None }]);
    assert_eq!(code(create(&fluvio, "elsewhere", elsewhere).await), ErrorCode::TopicError);
    let mut tiny = plain();
    tiny.set_storage(TopicStorageConfig { segment_size: Some(1), max_partition_size: None });
    assert_eq!(code(create(&fluvio, "tiny", tiny).await), ErrorCode::TopicInvalidConfiguration);

    within(fluvio.admin().await.create("dry".to_owned(), true, plain())).await.unwrap();
    assert_eq!(names(&fluvio).await, ["taken"]);
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_assigned_topic_on_the_only_node_is_created() {
    let broker = start().await;
    let fluvio = connect(&broker).await;
    let maps = (0..2).map(|id| PartitionMap { id, replicas: vec![5001], mirror: None }).collect::<Vec<_>>();
    create(&fluvio, "assigned", TopicSpec::new_assigned(maps)).await.unwrap();
    assert_eq!(partition(&fluvio, "assigned-1").await, (0, 0, 0));
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_system_topic_is_listed_apart_and_protected() {
    let broker = start().await;
    let fluvio = connect(&broker).await;
    let admin = fluvio.admin().await;
    let request = ListRequest::<TopicSpec>::new(vec![], false).system(true);
    let system = within(admin.list_with_config::<TopicSpec, String>(request)).await;
    assert_eq!(system.unwrap()[0].name, "consumer-offset");
    assert_eq!(names(&fluvio).await, Vec::<String>::new());
    let refused = code(within(admin.delete::<TopicSpec>("consumer-offset")).await);
    let expected = ErrorCode::SystemSpecDeletionAttempt { kind: "topic".to_owned(), name: "consumer-offset".to_owned() };
    assert_eq!(refused, expected);
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_are_added_and_show_their_offsets_and_size() {
    let broker = start().await;
    let fluvio = connect(&broker).await;
    create_topic(&fluvio, "growing", 1).await;
    produce(&fluvio, "growing", &["a", "b", "c"]).await;
    let (start, high_watermark, size) = partition(&fluvio, "growing-0").await;
    assert_eq!((start, high_watermark), (0, 3));
    assert!(size > 60, "size is {size}");

    let grow = UpdateTopicAction::AddPartition(AddPartition { count: 2 });
    within(fluvio.admin().await.update::<TopicSpec>("growing".to_owned(), grow)).await.unwrap();
    assert_eq!(partition(&fluvio, "growing-2").await, (0, 0, 0));
    assert_eq!(partition(&fluvio, "growing-0").await, (0, 3, size));

    let too_many = UpdateTopicAction::AddPartition(AddPartition { count: u32::MAX });
    let refused = within(fluvio.admin().await.update::<TopicSpec>("growing".to_owned(), too_many)).await;
    assert_eq!(code(refused), ErrorCode::TopicError);
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_node_is_listed_and_what_it_never_has_is_an_empty_list() {
    let broker = start().await;
    let admin = admin(&broker).await;
    let nodes = within(admin.all::<SpuSpec>()).await.unwrap();
    assert_eq!(nodes.len(), 1);
    assert_eq!(nodes[0].spec.public_endpoint.addr(), broker.spu_addr().to_string());
    assert!(nodes[0].status.is_online());
    assert_eq!(within(admin.all::<CustomSpuSpec>()).await.unwrap().len(), 1);
    assert_eq!(within(admin.all::<SpuGroupSpec>()).await.unwrap().len(), 0);
    assert_eq!(within(admin.all::<TableFormatSpec>()).await.unwrap().len(), 0);
    assert_eq!(within(admin.all::<PartitionSpec>()).await.unwrap().len(), 0);
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_brokers_live_in_one_process_without_sharing_anything() {
    let (first, second) = (start().await, start().await);
    let (here, there) = (connect(&first).await, connect(&second).await);
    create_topic(&here, "mine", 1).await;
    produce(&here, "mine", &["a"]).await;
    assert_eq!(names(&there).await, Vec::<String>::new());
    assert_eq!(values(&read_all(&here, "mine").await), ["a"]);
    first.stop().await;
    create_topic(&there, "mine", 1).await;
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_of_a_deleted_name_starts_empty_also_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let options = || Options { data_dir: DataDir::Path(dir.path().to_owned()), ..Options::default() };
    let broker = Broker::start(options()).await.unwrap();
    let fluvio = connect(&broker).await;
    create_topic(&fluvio, "again", 1).await;
    produce(&fluvio, "again", &["old"]).await;
    within(fluvio.admin().await.delete::<TopicSpec>("again")).await.unwrap();
    until(async || fluvio.topic_producer("again").await.is_err()).await;
    create_topic(&fluvio, "again", 1).await;
    produce(&fluvio, "again", &["new"]).await;
    assert_eq!(values(&read_all(&fluvio, "again").await), ["new"]);
    broker.stop().await;

    let broker = Broker::start(options()).await.unwrap();
    let fluvio = connect(&broker).await;
    assert_eq!(names(&fluvio).await, ["again"]);
    assert_eq!(values(&read_all(&fluvio, "again").await), ["new"]);
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn starting_fails_with_the_address_or_directory_in_the_message() {
    let dir = tempfile::tempdir().unwrap();
    let options = || Options { data_dir: DataDir::Path(dir.path().to_owned()), ..Options::default() };
    let broker = Broker::start(options()).await.unwrap();

    let taken = broker.sc_addr();
    let error = Broker::start(Options { sc_addr: taken, ..Options::default() }).await.unwrap_err();
    assert!(matches!(error, Error::AddressInUse { address, .. } if address == taken), "{error}");
    let taken = broker.spu_addr();
    let error = Broker::start(Options { spu_addr: taken, ..Options::default() }).await.unwrap_err();
    assert!(matches!(error, Error::AddressInUse { address, .. } if address == taken), "{error}");
    let error = Broker::start(options()).await.unwrap_err();
    assert!(matches!(&error, Error::DataDirLocked { path } if path == dir.path()), "{error}");
    broker.stop().await;

    std::fs::write(dir.path().join("FORMAT"), "orderflow-broker 999\n").unwrap();
    let error = Broker::start(options()).await.unwrap_err();
    assert!(matches!(&error, Error::DataDirFormat { found, .. } if found == "orderflow-broker 999"), "{error}");

    let foreign = tempfile::tempdir().unwrap();
    std::fs::write(foreign.path().join("thesis.txt"), "precious").unwrap();
    let data_dir = DataDir::Path(foreign.path().to_owned());
    let error = Broker::start(Options { data_dir, ..Options::default() }).await.unwrap_err();
    assert!(matches!(&error, Error::DataDirFormat { path, .. } if path == foreign.path()), "{error}");

    let data_dir = DataDir::Path(foreign.path().join("thesis.txt").join("below"));
    let error = Broker::start(Options { data_dir, ..Options::default() }).await.unwrap_err();
    assert!(matches!(&error, Error::File { action: "create", .. }), "{error}");

    let advertised_spu = Some("not an address".to_owned());
    let error = Broker::start(Options { advertised_spu, ..Options::default() }).await.unwrap_err();
    assert!(matches!(&error, Error::AdvertisedAddress { .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_frees_addresses_and_directory_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let data_dir = DataDir::Path(dir.path().to_owned());
    let broker = Broker::start(Options { data_dir: data_dir.clone(), ..Options::default() }).await.unwrap();
    let (sc_addr, spu_addr) = (broker.sc_addr(), broker.spu_addr());
    let fluvio = connect(&broker).await;
    create_topic(&fluvio, "kept", 4).await;
    produce(&fluvio, "kept", &["a"]).await;
    let started = std::time::Instant::now();
    broker.stop().await;
    assert!(started.elapsed() < std::time::Duration::from_secs(1), "stopping took {:?}", started.elapsed());
    let broker = Broker::start(Options { data_dir, sc_addr, spu_addr, ..Options::default() }).await.unwrap();
    assert_eq!((broker.sc_addr(), broker.spu_addr()), (sc_addr, spu_addr));
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ephemeral_directory_is_gone_after_the_broker() {
    let before = ephemeral_dirs();
    let broker = start().await;
    let created: Vec<_> = ephemeral_dirs().into_iter().filter(|dir| !before.contains(dir)).collect();
    assert!(!created.is_empty());
    broker.stop().await;
    // Other tests of this process have theirs at the same time; ours is among those that are gone.
    let left = ephemeral_dirs();
    assert!(created.iter().any(|dir| !left.contains(dir)));
}

fn ephemeral_dirs() -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(std::env::temp_dir()).unwrap();
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    paths.filter(|path| path.to_string_lossy().contains("orderflow-broker-")).collect()
}
