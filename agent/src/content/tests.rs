mod bench;

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use longshore_bus::LinkState;
use longshore_bus::envelope::ContentResponse;
use longshore_plan::spec::{ContentRef, EnvVar, Mount, MountSource};
use tokio::time::Instant;

use self::bench::{Bench, Source, Twist};
use super::*;
use crate::fixtures::{device, key};

fn digest_of(digest: &str) -> ContentDigest {
    ContentDigest(digest.to_owned())
}

fn hash() -> SpecHash {
    SpecHash("v1:00".to_owned())
}

fn having(values: &[(&str, &[u8])]) -> Source {
    let values = values.iter().map(|(d, v)| ((*d).to_owned(), v.to_vec()));
    Source {
        values: values.collect(),
        ..Source::default()
    }
}

fn file(path: &str, digest: &str) -> ContentFile {
    ContentFile {
        path: path.to_owned(),
        content: ContentRef {
            digest: digest_of(digest),
            secret: true,
        },
        mode: None,
    }
}

fn volume(name: &str, files: Vec<ContentFile>) -> Files {
    Files::from([(name.to_owned(), files)])
}

#[tokio::test(start_paused = true)]
async fn a_value_comes_piece_by_piece_and_is_asked_for_once() {
    let chunk = ContentResponse::CHUNK;
    for length in [0, 1, chunk, chunk + 1, 3 * chunk] {
        let value: Vec<u8> = (0..length).map(|n| u8::try_from(n % 251).unwrap()).collect();
        let bench = Bench::new(having(&[("aa", &value)])).await;
        assert_eq!(bench.value("aa").await.as_ref(), Ok(&value), "{length}");
        let offsets: Vec<u64> = bench.source.asked().iter().map(|(_, at)| *at).collect();
        let expected: Vec<u64> = (0..length.max(1)).step_by(chunk).map(|n| n as u64).collect();
        assert_eq!(offsets, expected, "{length}");
        // From the cache, also in another life and without a bus.
        assert_eq!(bench.value("aa").await.as_ref(), Ok(&value));
        let again = Bench::on(bench.disk.clone(), Source::default()).await;
        again.broker.partition(&device().to_string());
        assert_eq!(again.value("aa").await, Ok(value));
        assert_eq!(again.source.asked(), []);
    }
}

#[tokio::test(start_paused = true)]
async fn what_gets_lost_is_asked_for_again_until_the_time_is_over() {
    // Asked for after 0, 1, 3 and 7 s, and given up after 15.
    for (lose, seconds, comes) in [(0, 0, true), (1, 1, true), (3, 7, true), (4, 15, false)] {
        let source = Source {
            lose,
            ..having(&[("aa", b"value")])
        };
        let bench = Bench::new(source).await;
        let began = Instant::now();
        let expected = if comes {
            Ok(b"value".to_vec())
        } else {
            let words =
                "it is not on the device and could not be fetched: the controller did not answer in time";
            Err(words.to_owned())
        };
        assert_eq!(bench.value("aa").await, expected);
        assert_eq!(began.elapsed().as_secs(), seconds, "{lose} lost");
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_cannot_be_right_is_no_value_and_is_not_kept() {
    let twists: [(&str, Twist); 6] = [
        ("does not have it", |a| a.total = None),
        ("larger than 1 MiB", |a| a.total = Some((1 << 20) + 1)),
        ("damaged", |a| a.data = "no base64".to_owned()),
        ("damaged", |a| a.data = STANDARD.encode("more than there is")),
        ("damaged", |a| a.data = String::new()),
        ("damaged", |a| {
            a.total = Some(1 << 20);
            a.data = STANDARD.encode(vec![0; ContentResponse::CHUNK + 1]);
        }),
    ];
    for (expected, twist) in twists {
        let source = Source {
            twist: Some(twist),
            ..having(&[("aa", b"hunter22")])
        };
        let bench = Bench::new(source).await;
        let error = bench.value("aa").await.unwrap_err();
        assert!(error.contains(expected), "{expected}: {error}");
        assert!(!error.contains("hunter"), "{error}");
        assert_eq!(bench.disk.paths("values/"), Vec::<String>::new(), "{expected}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_to_an_earlier_question_is_not_taken_for_this_one() {
    let source = Source {
        // As if everything came twice, and late.
        twist: Some(|a| a.offset = a.offset.saturating_sub(1)),
        ..having(&[("aa", &vec![7; ContentResponse::CHUNK + 1])])
    };
    let error = Bench::new(source).await.value("aa").await.unwrap_err();
    assert!(error.contains("did not answer in time"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn without_a_session_nobody_is_asked_and_nothing_is_waited_for() {
    let bench = Bench::new(having(&[("aa", b"value")])).await;
    bench.broker.disconnect(&device().to_string());
    assert_eq!(*bench.bus.link().borrow(), LinkState::Disconnected);
    let began = Instant::now();
    let error = bench.value("aa").await.unwrap_err();
    assert!(error.contains("the bus is not connected"), "{error}");
    assert_eq!(began.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_digest_is_never_a_way_out_of_the_folder() {
    let long = "a".repeat(129);
    for digest in ["", "../../etc/passwd", "a/b", "xyz", "aa\0", long.as_str()] {
        let bench = Bench::new(Source::default()).await;
        let error = bench.value(digest).await.unwrap_err();
        assert_eq!(error, "it cannot be used: its digest is malformed");
        assert_eq!(bench.source.asked(), []);
    }
}

#[tokio::test(start_paused = true)]
async fn an_environment_is_resolved_in_its_order_or_not_at_all() {
    let bench = Bench::new(having(&[("aa", b"hunter22"), ("bb", b"\xff\xfe")])).await;
    let literal = |name: &str, value: &str| EnvVar {
        name: name.to_owned(),
        source: EnvSource::Value(value.to_owned()),
    };
    let kept = |name: &str, digest: &str| EnvVar {
        name: name.to_owned(),
        source: EnvSource::Content(file("", digest).content),
    };
    let mut spec = ContainerSpec {
        env: vec![literal("A", "x=y"), kept("TOKEN", "aa"), literal("B", "")],
        ..ContainerSpec::default()
    };
    let environment = bench.content.environment(&spec).await.unwrap();
    assert_eq!(environment, ["A=x=y", "TOKEN=hunter22", "B="]);
    for (digest, words) in [("bb", "is not UTF-8"), ("cc", "TOKEN is not on the device")] {
        spec.env[1] = kept("TOKEN", digest);
        let error = bench.content.environment(&spec).await.unwrap_err().to_string();
        assert!(
            error.contains("environment variable TOKEN") && error.contains(words),
            "{error}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn files_are_swapped_all_at_once_and_stay_as_they_are_when_one_cannot_be_had() {
    let bench = Bench::new(having(&[("aa", b"one"), ("bb", b"two"), ("cc", b"three")])).await;
    let first = volume("conf", vec![file("app.conf", "aa"), file("sub/x", "bb")]);
    let directories = bench.lay_out(&first).await.unwrap();
    assert_eq!(directories["conf"], "/memory/content/hello.web/v1-00/conf");
    assert_eq!(bench.read("conf/app.conf").as_deref(), Some("one"));
    assert_eq!(bench.read("conf/sub/x").as_deref(), Some("two"));
    let files = |bench: &Bench| bench.content.files_of(&key("hello", "web"), &hash());
    assert_eq!(files(&bench), first);
    // Again: nothing is written and nobody is asked.
    let (syncs, asked) = (bench.disk.syncs(), bench.source.asked().len());
    bench.lay_out(&first).await.unwrap();
    assert_eq!(bench.source.asked().len(), asked);
    assert!(
        bench.disk.syncs() > syncs,
        "files that somebody changed are put right"
    );

    let missing = volume("conf", vec![file("app.conf", "cc"), file("new", "dd")]);
    let error = bench.lay_out(&missing).await.unwrap_err();
    assert!(
        error.contains("file new of hello.web, volume conf is not on the device"),
        "{error}"
    );
    assert_eq!(bench.read("conf/app.conf").as_deref(), Some("one"));
    assert_eq!(files(&bench), first);

    let second = volume("conf", vec![file("app.conf", "cc")]);
    bench.lay_out(&second).await.unwrap();
    assert_eq!(bench.read("conf/app.conf").as_deref(), Some("three"));
    assert_eq!(
        bench.read("conf/sub/x"),
        None,
        "what is no longer declared is gone"
    );
    // Another life knows what is laid out.
    let again = Bench::on(bench.disk.clone(), Source::default()).await;
    assert_eq!(files(&again), second);
}

#[tokio::test(start_paused = true)]
async fn no_file_is_laid_out_outside_its_volume_or_in_our_own_names() {
    for path in [
        "",
        ".",
        "..",
        "../x",
        "a/../b",
        "/etc/passwd",
        "a//b",
        "..data",
        "..x/y",
        "a\0b",
    ] {
        let bench = Bench::new(having(&[("aa", b"one")])).await;
        let error = bench
            .lay_out(&volume("conf", vec![file(path, "aa")]))
            .await
            .unwrap_err();
        assert!(error.contains("leaves the volume"), "{path:?}: {error}");
        assert_eq!(bench.disk.paths(""), Vec::<String>::new(), "{path:?}");
    }
    for name in ["", "..", "a/b", "manifest.json"] {
        let bench = Bench::new(having(&[("aa", b"one")])).await;
        let error = bench
            .lay_out(&volume(name, vec![file("x", "aa")]))
            .await
            .unwrap_err();
        assert!(error.contains("is no file name"), "{name:?}: {error}");
        assert_eq!(bench.disk.paths(""), Vec::<String>::new(), "{name:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_nobody_uses_any_more_goes_and_what_is_in_use_stays() {
    let bench = Bench::new(having(&[("aa", b"one"), ("bb", b"two")])).await;
    let files = volume("conf", vec![file("app.conf", "aa")]);
    let other = SpecHash("v1:11".to_owned());
    let spec = ContainerSpec::default();
    let web = key("hello", "web");
    bench.lay_out(&files).await.unwrap();
    bench.content.lay_out(&web, &other, &spec, &files).await.unwrap();
    bench.value("bb").await.unwrap();
    let keep = BTreeSet::from([(web.clone(), hash())]);
    bench
        .content
        .collect(&BTreeSet::from([digest_of("aa")]), &keep)
        .await;
    assert_eq!(bench.disk.paths("values/"), ["values/aa"]);
    assert_eq!(bench.disk.paths("content/hello.web/v1-11"), Vec::<String>::new());
    assert_eq!(bench.read("conf/app.conf").as_deref(), Some("one"));
    assert_eq!(bench.content.files_of(&web, &other), Files::new());
    assert_eq!(bench.content.files_of(&web, &hash()), files);
}

#[test]
fn every_reference_of_a_container_is_known_and_no_value_is_shown() {
    let mount = |source| Mount {
        target: "/x".to_owned(),
        source,
        read_only: true,
        propagation: None,
    };
    let spec = ContainerSpec {
        env: vec![
            EnvVar {
                name: "A".to_owned(),
                source: EnvSource::Content(file("", "aa").content),
            },
            EnvVar {
                name: "B".to_owned(),
                source: EnvSource::Value("dd".to_owned()),
            },
        ],
        mounts: vec![
            mount(MountSource::Content {
                name: "fixed".to_owned(),
                files: vec![file("x", "bb")],
            }),
            mount(MountSource::Volume {
                name: "dd".to_owned(),
            }),
        ],
        ..ContainerSpec::default()
    };
    let found = references(&spec, &volume("conf", vec![file("y", "cc")]));
    assert_eq!(found, ["aa", "bb", "cc"].map(digest_of).into());
    assert_eq!(format!("{:?}", Value(b"hunter22".to_vec())), "Value(<8 bytes>)");
}
