//! The application in test and demo images: small, static, and observable from outside.
//!
//! Compiled by plain `rustc` into a FROM-scratch image (see `tests/src/harness/images.rs`), so it is
//! std-only. It therefore handles no signals, and as PID 1 would ignore SIGTERM: its image says
//! `STOPSIGNAL SIGKILL`, or runs it under the engine's init, where SIGTERM ends it at once.
//!
//! | Call | What it does |
//! |---|---|
//! | `webapp` | as `$MODE` says: `serve` (default), `sleep`, or `exit` with `$CODE` after `$AFTER` seconds |
//! | `webapp touch FILE`, `webapp rm FILE` | makes or removes a file, e.g. `/tmp/sick` |
//! | `webapp cat [FILE]` | prints a file, or copies its standard input to its standard output |
//! | `webapp get HOST PORT PATH` | prints what another web server answers, found by its name |
//! | `webapp probe` | asks its own `/healthz`; exit 1 when sick: for exec probes and HEALTHCHECK |
//!
//! It serves on `$PORT` (8080): `/` answers `$GREETING from $VERSION`; `/healthz` 200, or 503 when
//! `$HEALTH` is `fail` or `/tmp/sick` exists; `/env/NAME` a variable; `/file/PATH` a file's content.

use std::env;
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

const SICK: &str = "/tmp/sick";
const IDLE: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = match args.as_slice() {
        [] => run(),
        ["touch", file] => fs::write(file, "").map(|()| ExitCode::SUCCESS),
        ["rm", file] => fs::remove_file(file).map(|()| ExitCode::SUCCESS),
        ["cat"] => io::copy(&mut io::stdin(), &mut io::stdout()).map(|_| ExitCode::SUCCESS),
        ["cat", file] => print_file(file),
        ["get", host, port, path] => get(host, port, path),
        ["probe"] => probe(),
        _ => Err(io::Error::other(
            "usage: webapp [touch FILE | rm FILE | cat [FILE] | get HOST PORT PATH | probe]",
        )),
    };
    done.unwrap_or_else(|error| {
        eprintln!("webapp: {error}");
        ExitCode::from(2)
    })
}

fn run() -> io::Result<ExitCode> {
    match variable("MODE", "serve").as_str() {
        "serve" => serve(),
        "sleep" => loop {
            thread::park();
        },
        "exit" => {
            thread::sleep(Duration::from_secs(number("AFTER", 0)?));
            let code: u8 = number("CODE", 0)?;
            println!("exiting with {code}");
            Ok(ExitCode::from(code))
        }
        other => Err(io::Error::other(format!(
            "MODE is serve, sleep or exit, not {other:?}"
        ))),
    }
}

fn serve() -> io::Result<ExitCode> {
    let port: u16 = number("PORT", 8080)?;
    let listener = TcpListener::bind(("0.0.0.0", port))?;
    println!("listening on {port}");
    loop {
        let (client, _) = listener.accept()?;
        thread::spawn(move || {
            if let Err(error) = answer(&client) {
                eprintln!("webapp: {error}");
            }
        });
    }
}

fn answer(mut client: &TcpStream) -> io::Result<()> {
    client.set_read_timeout(Some(IDLE))?;
    let mut lines = BufReader::new(client.take(16 * 1024)).lines();
    let Some(request) = lines.next().transpose()? else {
        return Ok(()); // a TCP probe: connected and went away
    };
    // Closing with unread input would reset the connection under the answer.
    while lines.next().transpose()?.is_some_and(|header| !header.is_empty()) {}

    let path = request.split(' ').nth(1).unwrap_or("/");
    let (status, body) = respond(path);
    println!("{request} -> {status}");
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    client.write_all(head.as_bytes())?;
    client.write_all(&body)
}

fn respond(path: &str) -> (&'static str, Vec<u8>) {
    let found = |body: Vec<u8>| ("200 OK", body);
    let missing = || ("404 Not Found", b"not found\n".to_vec());
    if path == "/" {
        let greeting = variable("GREETING", "hello");
        return found(format!("{greeting} from {}\n", variable("VERSION", "dev")).into_bytes());
    }
    if path == "/healthz" {
        let sick = variable("HEALTH", "ok") == "fail" || Path::new(SICK).exists();
        return if sick {
            ("503 Service Unavailable", b"sick\n".to_vec())
        } else {
            found(b"ok\n".to_vec())
        };
    }
    if let Some(name) = path.strip_prefix("/env/") {
        return env::var(name).map_or_else(|_| missing(), |value| found(value.into_bytes()));
    }
    if let Some(file) = path.strip_prefix("/file/") {
        return fs::read(Path::new("/").join(file)).map_or_else(|_| missing(), found);
    }
    missing()
}

fn print_file(file: &str) -> io::Result<ExitCode> {
    io::stdout().write_all(&fs::read(file)?)?;
    Ok(ExitCode::SUCCESS)
}

fn get(host: &str, port: &str, path: &str) -> io::Result<ExitCode> {
    let port = port.parse().map_err(io::Error::other)?;
    let reply = ask(host, port, path)?;
    print!("{}", reply.split_once("\r\n\r\n").map_or("", |(_, body)| body));
    Ok(outcome(&reply))
}

fn probe() -> io::Result<ExitCode> {
    let reply = ask("127.0.0.1", number("PORT", 8080)?, "/healthz")?;
    println!("{}", reply.lines().next().unwrap_or("no answer"));
    Ok(outcome(&reply))
}

/// The whole answer of a server that closes the connection after it.
fn ask(host: &str, port: u16, path: &str) -> io::Result<String> {
    let mut server = TcpStream::connect((host, port))?;
    server.set_read_timeout(Some(IDLE))?;
    server.write_all(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes())?;
    let mut reply = String::new();
    server.read_to_string(&mut reply)?;
    Ok(reply)
}

fn outcome(reply: &str) -> ExitCode {
    if reply.starts_with("HTTP/1.1 200") {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn variable(name: &str, default: &str) -> String {
    env::var(name).unwrap_or_else(|_| default.to_owned())
}

fn number<T: std::str::FromStr>(name: &str, default: T) -> io::Result<T> {
    match env::var(name) {
        Err(_) => Ok(default),
        Ok(text) => text
            .parse()
            .map_err(|_| io::Error::other(format!("{name}={text:?} is not a number in range"))),
    }
}
