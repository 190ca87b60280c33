use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::{HostNetwork, HttpTarget, ProbeFailure, ProbeNetwork as _};

const SHORT: Duration = Duration::from_millis(500);

/// Answers one connection with these bytes; gives the request.
fn server(answer: &'static [u8]) -> (u16, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let served = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = [0; 4096];
        let n = stream.read(&mut request).unwrap();
        stream.write_all(answer).ok();
        if answer.is_empty() {
            thread::sleep(2 * SHORT);
        }
        String::from_utf8_lossy(&request[..n]).into_owned()
    });
    (port, served)
}

fn target(port: u16) -> HttpTarget {
    let headers = vec![
        ("X-Probe".to_owned(), "yes".to_owned()),
        ("Host".to_owned(), "me".to_owned()),
    ];
    HttpTarget {
        host: "127.0.0.1".to_owned(),
        port,
        path: "/healthz?deep=1".to_owned(),
        headers,
    }
}

async fn probe(answer: &'static [u8]) -> Result<(), ProbeFailure> {
    let (port, served) = server(answer);
    let outcome = HostNetwork.http_get(&target(port), SHORT).await;
    let request = served.join().unwrap();
    assert!(
        request.starts_with("GET /healthz?deep=1 HTTP/1.1\r\n"),
        "{request}"
    );
    assert!(
        request.contains("x-probe: yes\r\n") && request.contains("host: me\r\n"),
        "{request}"
    );
    outcome
}

#[tokio::test]
async fn the_status_decides() {
    assert_eq!(
        probe(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await,
        Ok(())
    );
    assert_eq!(probe(b"HTTP/1.0 204 None\r\n\r\n").await, Ok(()));
    assert_eq!(
        probe(b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\n\r\n").await,
        Ok(())
    );
    let sick = b"HTTP/1.1 503 Sick\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(probe(sick).await, Err(ProbeFailure::Status(503)));
    assert_eq!(
        probe(b"HTTP/1.1 404 Nothing\r\n\r\n").await,
        Err(ProbeFailure::Status(404))
    );
}

#[tokio::test]
async fn an_answer_cut_short_still_has_its_status() {
    assert_eq!(
        probe(b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\nok").await,
        Ok(())
    );
}

#[tokio::test]
async fn what_is_no_http_is_a_bad_answer() {
    assert!(matches!(
        probe(b"SSH-2.0-OpenSSH\r\n").await,
        Err(ProbeFailure::BadAnswer(_))
    ));
}

#[tokio::test]
async fn silence_ends_at_the_timeout() {
    assert_eq!(probe(b"").await, Err(ProbeFailure::Timeout));
}

#[tokio::test]
async fn a_closed_port_and_a_listening_one_differ() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    assert_eq!(HostNetwork.tcp_connect("127.0.0.1", port, SHORT).await, Ok(()));
    drop(listener);
    let refused = HostNetwork.tcp_connect("127.0.0.1", port, SHORT).await;
    assert!(matches!(refused, Err(ProbeFailure::Connect(_))), "{refused:?}");
    let refused = HostNetwork.http_get(&target(port), SHORT).await;
    assert!(matches!(refused, Err(ProbeFailure::Connect(_))), "{refused:?}");
}
