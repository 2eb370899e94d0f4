//! Every fault and every capability that a test asks for: the path says which, the query how much.
//! Parameters that are absent have the value that the code below names.

mod faults;
mod leak;
mod reach;
mod streams;

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ::log::LevelFilter;
use everwarm_sdk::http::StatusCode;
use everwarm_sdk::{Error, IntoResponse, Request, Response, Result, log, sleep, spawn, wait_until};

#[everwarm_sdk::http]
async fn misbehave(request: Request) -> Result {
    let query = Query(request.uri().query().unwrap_or_default().to_owned());
    let path = request.uri().path().to_owned();
    if let Some(answer) = faults::answer(&path, &query) {
        return Ok(answer);
    }
    if let Some(answer) = streams::answer(&path, &query, request) {
        return Ok(answer);
    }
    match path.as_str() {
        "/cpu" => Ok(burn(query.ms(10)).into_response()),
        "/sleep" => {
            sleep(query.ms(10)).await;
            Ok("slept\n".into_response())
        }
        "/spawn" => {
            spawn(background(query.ms(10), "spawned"));
            Ok("spawned\n".into_response())
        }
        "/wait-until" => {
            wait_until(background(query.ms(10), "waited"));
            Ok("answered\n".into_response())
        }
        "/background" => Ok(format!("{}\n", ENDED.load(Ordering::Relaxed)).into_response()),
        "/background-loop" => {
            wait_until(async { faults::endless_loop() });
            Ok("answered\n".into_response())
        }
        "/env" => Ok(environment().into_response()),
        "/clock" => clock(),
        "/random" => random(),
        "/stdout" => {
            println!("a line on stdout");
            eprintln!("a line on stderr");
            Ok("logged\n".into_response())
        }
        "/log" => {
            log::warn("shop", "a message with a level");
            log::init(LevelFilter::Info);
            ::log::info!(target: "basket", "a message of the crate {}", "log");
            ::log::debug!("a message that is below the level");
            Ok("logged\n".into_response())
        }
        "/flood" => {
            let line = "x".repeat(1_000);
            for _ in 0..query.number("lines", 5_000) {
                println!("{line}");
            }
            Ok("flooded\n".into_response())
        }
        "/counter" => Ok(format!("{}\n", COUNTER.fetch_add(1, Ordering::Relaxed)).into_response()),
        "/reach" => Ok(reach::attempts(&query).into_response()),
        "/leak-plant" => Ok(leak::plant(query.number("mib", 8)).into_response()),
        "/leak-probe" => Ok(leak::probe(query.number("mib", 8)).into_response()),
        "/status" => Ok(status(&query)?.into_response()),
        "/error" => Ok("no number".parse::<u32>()?.to_string().into_response()),
        "/problem" => Err(Error::new(StatusCode::IM_A_TEAPOT).with_detail("short and stout")),
        _ => Err(Error::not_found(format!("no behaviour is called {path}"))),
    }
}

/// How many requests this instance has answered: more than none means that it was reused.
static COUNTER: AtomicU32 = AtomicU32::new(0);

/// How many pieces of background work this instance has ended.
static ENDED: AtomicU32 = AtomicU32::new(0);

struct Query(String);

impl Query {
    fn get(&self, name: &str) -> Option<&str> {
        let mut pairs = self.0.split('&').filter_map(|pair| pair.split_once('='));
        pairs.find(|(key, _)| *key == name).map(|(_, value)| value)
    }

    fn number(&self, name: &str, default: usize) -> usize {
        self.get(name)
            .and_then(|value| value.parse().ok())
            .unwrap_or(default)
    }

    fn ms(&self, default: u64) -> Duration {
        let ms = self.get("ms").and_then(|value| value.parse().ok());
        Duration::from_millis(ms.unwrap_or(default))
    }
}

fn burn(time: Duration) -> String {
    let start = Instant::now();
    let mut turns = 0u64;
    while start.elapsed() < time {
        for _ in 0..1000 {
            turns = std::hint::black_box(turns + 1);
        }
    }
    format!("{turns}\n")
}

async fn background(time: Duration, what: &'static str) {
    sleep(time).await;
    ENDED.fetch_add(1, Ordering::Relaxed);
    println!("background work ended: {what}");
}

fn environment() -> String {
    let mut variables: Vec<_> = std::env::vars().collect();
    variables.sort();
    let mut lines = String::new();
    for (key, value) in variables {
        lines.push_str(&(key + "=" + &value + "\n"));
    }
    lines
}

fn clock() -> Result {
    let start = Instant::now();
    let wall_ms = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis();
    let ran = start.elapsed().as_nanos();
    Ok(format!("wall_ms={wall_ms} monotonic_ns={ran}\n").into_response())
}

fn random() -> Result {
    let mut bytes = [0u8; 16];
    getrandom::fill(&mut bytes).map_err(|error| Error::internal(error.to_string()))?;
    Ok(format!("{:032x}\n", u128::from_be_bytes(bytes)).into_response())
}

fn status(query: &Query) -> Result<Response> {
    let code = u16::try_from(query.number("code", 200))?;
    Ok(StatusCode::from_u16(code)?.into_response())
}
