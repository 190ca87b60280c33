use std::time::Duration;

use bytes::Bytes;

use super::*;
use crate::port::Properties;
use crate::topic::CONTROLLER_FILTER;

fn message(topic: &str, payload: &str) -> Message {
    Message {
        topic: topic.to_owned(),
        payload: Bytes::copy_from_slice(payload.as_bytes()),
        properties: Properties::default(),
    }
}

fn device() -> DeviceId {
    "default.dev1".parse().unwrap()
}

fn client(broker: &MemoryBroker, name: &str, access: Access) -> Arc<MemoryBus> {
    let will = Some(message("longshore/v1/default.dev1/evt/gone", "will"));
    let will = if matches!(access, Access::Device(_)) {
        will
    } else {
        None
    };
    broker.connect(ClientOptions {
        client_id: name.to_owned(),
        will,
        access,
    })
}

#[tokio::test(start_paused = true)]
async fn a_message_reaches_every_matching_subscriber_and_nobody_else() {
    let broker = MemoryBroker::new(BrokerConfig::default());
    let controller = client(&broker, "controller", Access::Controller);
    let agent = client(&broker, "default.dev1", Access::Device(device()));
    let mut events = controller.subscribe(&[CONTROLLER_FILTER]).await.unwrap();
    let filters = device_filters_of(&device());
    let mut commands = agent.subscribe(&[&filters[0], &filters[1]]).await.unwrap();

    let outcome = controller
        .publish(message("longshore/v1/default.dev1/cmd/x", "do"))
        .await;
    assert_eq!(outcome, Ok(PublishOutcome::Accepted));
    assert_eq!(commands.recv().await.unwrap().payload, "do");

    let outcome = controller
        .publish(message("longshore/v1/default.dev2/cmd/x", "do"))
        .await;
    assert_eq!(outcome, Ok(PublishOutcome::NoMatchingSubscribers));

    agent
        .publish(message("longshore/v1/default.dev1/evt/report", "seen"))
        .await
        .unwrap();
    assert_eq!(events.recv().await.unwrap().payload, "seen");
}

fn device_filters_of(id: &DeviceId) -> [String; 2] {
    crate::topic::device_filters(id)
}

#[tokio::test(start_paused = true)]
async fn a_device_reads_and_writes_its_own_topics_only() {
    let broker = MemoryBroker::new(BrokerConfig::default());
    let agent = client(&broker, "default.dev1", Access::Device(device()));
    for topic in [
        "longshore/v1/default.dev2/evt/report",
        "longshore/v1/default.dev1/cmd/x",
        "longshore/v1/all/controller",
        "longshore/v1/default.dev1x/evt/report",
    ] {
        let refused = agent.publish(message(topic, "")).await;
        assert!(
            matches!(refused, Err(PublishError::NotAuthorised { .. })),
            "{topic}"
        );
    }
    for filter in [
        "#",
        "longshore/v1/+/cmd/#",
        "longshore/v1/default.dev2/cmd/#",
        CONTROLLER_FILTER,
    ] {
        assert!(agent.subscribe(&[filter]).await.is_err(), "{filter}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_retained_message_waits_for_later_subscribers_until_an_empty_one_clears_it() {
    let broker = MemoryBroker::new(BrokerConfig::default());
    let controller = client(&broker, "controller", Access::Controller);
    let mut birth = message("longshore/v1/default.dev1/evt/birth", "here");
    birth.properties.retain = true;
    controller.publish(birth.clone()).await.unwrap();
    let mut first = controller.subscribe(&["longshore/v1/+/evt/birth"]).await.unwrap();
    assert_eq!(first.recv().await.unwrap().payload, "here");
    birth.payload = Bytes::new();
    controller.publish(birth).await.unwrap();
    let mut second = controller.subscribe(&["longshore/v1/+/evt/birth"]).await.unwrap();
    let nothing = tokio::time::timeout(Duration::from_secs(1), second.recv()).await;
    assert!(nothing.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_silent_partition_loses_everything_and_is_noticed_after_the_keep_alive() {
    let broker = MemoryBroker::new(BrokerConfig::default());
    let controller = client(&broker, "controller", Access::Controller);
    let agent = client(&broker, "default.dev1", Access::Device(device()));
    let mut gone = controller.subscribe(&["longshore/v1/+/evt/gone"]).await.unwrap();
    let mut link = agent.link();
    let started = Instant::now();

    broker.partition("default.dev1");
    let lost = agent
        .publish(message("longshore/v1/default.dev1/evt/report", "lost"))
        .await;
    assert_eq!(
        lost,
        Ok(PublishOutcome::Accepted),
        "a silent cable takes everything"
    );
    link.wait_for(|state| *state == LinkState::Disconnected)
        .await
        .unwrap();
    assert_eq!(started.elapsed().as_secs(), 20);
    assert_eq!(gone.recv().await.unwrap().payload, "will");
    assert!(
        agent
            .publish(message("longshore/v1/default.dev1/evt/report", "x"))
            .await
            .is_err()
    );

    broker.heal("default.dev1");
    link.wait_for(|state| *state == LinkState::Connected)
        .await
        .unwrap();
    assert!(
        agent
            .publish(message("longshore/v1/default.dev1/evt/report", "x"))
            .await
            .is_ok()
    );
}

#[tokio::test(start_paused = true)]
async fn faults_follow_the_seed() {
    async fn run(seed: u64) -> (Vec<Bytes>, Counters) {
        let faults = Faults {
            lose: 0.2,
            duplicate: 0.2,
            delay: Duration::from_millis(50),
        };
        let broker = MemoryBroker::new(BrokerConfig {
            seed,
            faults,
            ..BrokerConfig::default()
        });
        let controller = client(&broker, "controller", Access::Controller);
        let mut all = controller.subscribe(&["#"]).await.unwrap();
        for n in 0..100 {
            controller
                .publish(message("longshore/v1/x", &n.to_string()))
                .await
                .unwrap();
        }
        let mut seen = Vec::new();
        while let Ok(Some(message)) = tokio::time::timeout(Duration::from_secs(1), all.recv()).await {
            seen.push(message.payload);
        }
        (seen, broker.counters())
    }
    let (first, counters) = run(7).await;
    assert_eq!(
        (first.clone(), counters),
        run(7).await,
        "the same seed gives the same faults"
    );
    assert_ne!(first, run(8).await.0, "another seed gives other ones");
    assert!(counters.lost > 0 && counters.delivered > 80, "{counters:?}");
    let mut sorted = first.clone();
    sorted.sort_by_key(|p| String::from_utf8_lossy(p).parse::<u32>().unwrap());
    assert_ne!(first, sorted, "delays reorder");
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_drops_the_newest_and_a_large_message_is_refused() {
    let broker = MemoryBroker::new(BrokerConfig {
        max_payload: 10,
        ..BrokerConfig::default()
    });
    let controller = client(&broker, "controller", Access::Controller);
    let mut all = controller.subscribe(&["#"]).await.unwrap();
    for n in 0..=Subscription::CAPACITY {
        controller
            .publish(message("longshore/v1/x", &n.to_string()))
            .await
            .unwrap();
    }
    assert_eq!(broker.counters().overflowed, 1);
    assert_eq!(all.recv().await.unwrap().payload, "0");
    let refused = controller.publish(message("longshore/v1/x", "12345678901")).await;
    assert!(matches!(
        refused,
        Err(PublishError::TooLarge {
            size: 11,
            limit: 10,
            ..
        })
    ));
}

#[tokio::test(start_paused = true)]
async fn a_second_client_of_the_same_id_takes_the_session() {
    let broker = MemoryBroker::new(BrokerConfig::default());
    let first = client(&broker, "default.dev1", Access::Device(device()));
    let second = client(&broker, "default.dev1", Access::Device(device()));
    assert_eq!(*first.link().borrow(), LinkState::Disconnected);
    assert_eq!(*second.link().borrow(), LinkState::Connected);
    assert!(
        first
            .publish(message("longshore/v1/default.dev1/evt/report", "x"))
            .await
            .is_err()
    );
}

/// What is left of a message's time to live when it comes, and how long that took; `None` if it was lost.
async fn left_of(expiry: Duration, delay: Duration) -> Option<(Duration, Duration)> {
    let broker = MemoryBroker::new(BrokerConfig {
        faults: Faults {
            delay,
            ..Faults::NONE
        },
        ..BrokerConfig::default()
    });
    let controller = client(&broker, "controller", Access::Controller);
    let agent = client(&broker, "default.dev1", Access::Device(device()));
    let filters = device_filters_of(&device());
    let mut commands = agent.subscribe(&[&filters[0]]).await.unwrap();
    let mut command = message("longshore/v1/default.dev1/cmd/x", "do");
    command.properties.message_expiry = Some(expiry);
    let sent = tokio::time::Instant::now();
    controller.publish(command).await.unwrap();
    let came = tokio::time::timeout(delay + Duration::from_secs(1), commands.recv()).await;
    let came = came.ok()??;
    Some((came.properties.message_expiry.unwrap(), sent.elapsed()))
}

#[tokio::test(start_paused = true)]
async fn a_messages_time_to_live_goes_on_while_the_broker_holds_it() {
    let minute = Duration::from_mins(1);
    assert_eq!(
        left_of(minute, Duration::ZERO).await,
        Some((minute, Duration::ZERO))
    );
    let (left, took) = left_of(minute, Duration::from_secs(50)).await.unwrap();
    assert!(took > Duration::from_secs(1), "the seed delays it: {took:?}");
    // The clock of the runtime ticks in milliseconds.
    assert!(
        minute.abs_diff(left + took) <= Duration::from_millis(1),
        "{left:?} {took:?}"
    );
    assert_eq!(
        left_of(Duration::from_secs(1), Duration::from_secs(50)).await,
        None
    );
}

#[tokio::test(start_paused = true)]
async fn a_retained_message_lives_no_longer_than_it_may() {
    let broker = MemoryBroker::new(BrokerConfig::default());
    let agent = client(&broker, "default.dev1", Access::Device(device()));
    let mut birth = message("longshore/v1/default.dev1/evt/birth", "here");
    birth.properties.retain = true;
    birth.properties.message_expiry = Some(Duration::from_mins(1));
    agent.publish(birth).await.unwrap();
    tokio::time::sleep(Duration::from_secs(20)).await;
    let controller = client(&broker, "controller", Access::Controller);
    let mut events = controller.subscribe(&[CONTROLLER_FILTER]).await.unwrap();
    let came = events.recv().await.unwrap();
    assert_eq!(came.properties.message_expiry, Some(Duration::from_secs(40)));
    tokio::time::sleep(Duration::from_secs(40)).await;
    let mut late = controller.subscribe(&[CONTROLLER_FILTER]).await.unwrap();
    let came = tokio::time::timeout(Duration::from_secs(1), late.recv()).await;
    assert!(came.is_err(), "{came:?}");
}
