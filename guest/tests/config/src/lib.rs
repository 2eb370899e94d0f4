//! Tells what it gets for names: `/get/NAME` for one of them, `/all` for all that there are, a line each.
//! `/twice/NAME` asks, waits for the body of the request to end, and asks again.

use everwarm_sdk::{Error, Request, Result, config};

#[everwarm_sdk::http]
async fn tell(request: Request) -> Result<String> {
    let path = request.uri().path().to_owned();
    if path == "/all" {
        let all = config::get_all()?;
        let lines = all.iter().map(|(name, value)| format!("{name}={value}\n"));
        return Ok(lines.collect());
    }
    if let Some(name) = path.strip_prefix("/get/") {
        return Ok(told(name));
    }
    let Some(name) = path.strip_prefix("/twice/") else {
        return Err(Error::not_found(format!("nothing is asked for {path}")));
    };
    let before = told(name);
    request.into_body().bytes().await?;
    Ok(before + &told(name))
}

fn told(name: &str) -> String {
    match config::get(name) {
        Ok(Some(value)) => format!("value {value}\n"),
        Ok(None) => "none\n".to_owned(),
        Err(error) => format!("{error:?}\n"),
    }
}
