//! Which commands may go over a connection that somebody else has next: those that change nothing of it and don't hold it.
//! What a user may do with data is the server's own to say (its access control lists). Pure.

/// Commands that change what a connection is, and what may be asked instead.
const OF_CONNECTION: &[(&str, &str)] = &[
    (
        "AUTH",
        "the node says who it is: `url` and `password` in [[redis]]",
    ),
    ("HELLO", "the node chooses the protocol"),
    ("SELECT", "the database is in the `url` of [[redis]]"),
    ("CLIENT", "connections are the node's"),
    ("QUIT", "connections are the node's"),
    ("RESET", "connections are the node's"),
    ("READONLY", "connections are the node's"),
    ("READWRITE", "connections are the node's"),
    ("ASKING", "connections are the node's"),
    ("MULTI", "send the commands together, as one that is atomic"),
    ("EXEC", "send the commands together, as one that is atomic"),
    (
        "DISCARD",
        "send the commands together, as one that is atomic",
    ),
    (
        "WATCH",
        "use a script (`EVAL`) where a value has to be looked at first",
    ),
    (
        "UNWATCH",
        "use a script (`EVAL`) where a value has to be looked at first",
    ),
    ("SUBSCRIBE", "a function has no connection to listen on"),
    ("PSUBSCRIBE", "a function has no connection to listen on"),
    ("SSUBSCRIBE", "a function has no connection to listen on"),
    ("UNSUBSCRIBE", "a function has no connection to listen on"),
    ("PUNSUBSCRIBE", "a function has no connection to listen on"),
    ("SUNSUBSCRIBE", "a function has no connection to listen on"),
    ("MONITOR", "a function has no connection to listen on"),
    ("SYNC", "a function has no connection to listen on"),
    ("PSYNC", "a function has no connection to listen on"),
    ("REPLCONF", "a function has no connection to listen on"),
];

/// Commands that hold a connection until something happens.
const BLOCKING: &[&str] = &[
    "BLPOP",
    "BRPOP",
    "BRPOPLPUSH",
    "BLMOVE",
    "BLMPOP",
    "BZPOPMIN",
    "BZPOPMAX",
    "BZMPOP",
    "WAIT",
    "WAITAOF",
];

/// Whether a command may be sent; why not, otherwise.
///
/// # Errors
///
/// In words for whoever wrote the function.
pub(super) fn check(command: &[Vec<u8>]) -> Result<(), String> {
    let Some(name) = command.first() else {
        return Err("a command has a name".to_owned());
    };
    let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
    if let Some((known, instead)) = OF_CONNECTION.iter().find(|(known, _)| is(known)) {
        return Err(format!(
            "{known} changes a connection that others have next: {instead}"
        ));
    }
    if let Some(known) = BLOCKING.iter().find(|known| is(known)) {
        return Err(format!(
            "{known} holds a connection: ask again from time to time instead"
        ));
    }
    let subcommand = command.get(1);
    if is("SCRIPT") && subcommand.is_some_and(|it| it.eq_ignore_ascii_case(b"DEBUG")) {
        let text = "SCRIPT DEBUG changes a connection that others have next: debug scripts without the node";
        return Err(text.to_owned());
    }
    if (is("XREAD") || is("XREADGROUP")) && blocks(&command[1..]) {
        return Err("BLOCK holds a connection: ask again from time to time instead".to_owned());
    }
    Ok(())
}

/// Whether a reader of streams asks to wait, by its arguments. Names among them are whatever somebody calls things.
fn blocks(arguments: &[Vec<u8>]) -> bool {
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        let is = |option: &str| argument.eq_ignore_ascii_case(option.as_bytes());
        let operands = match () {
            () if is("STREAMS") => return false,
            () if is("BLOCK") => return true,
            () if is("GROUP") => 2,
            () if is("COUNT") => 1,
            () => 0,
        };
        for _ in 0..operands {
            arguments.next();
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn may(text: &str) -> Result<(), String> {
        let words = text.split(' ').map(|word| word.as_bytes().to_vec());
        check(&words.collect::<Vec<_>>())
    }

    #[test]
    fn data_may_be_read_and_written() {
        for command in [
            "GET k",
            "set k v EX 10",
            "EVAL return 1 0",
            "XREAD COUNT 2 STREAMS BLOCK 0",
            "XREADGROUP GROUP block block COUNT 1 STREAMS s >",
            "SCRIPT LOAD debug",
            "LPOP BLPOP",
            "PUBLISH c m",
            "HGETALL h",
        ] {
            assert_eq!(may(command), Ok(()), "{command}");
        }
    }

    #[test]
    fn what_changes_or_holds_a_connection_may_not() {
        for command in [
            "AUTH x",
            "auth x y",
            "SeLeCt 3",
            "MULTI",
            "exec",
            "WATCH k",
            "SUBSCRIBE c",
            "CLIENT REPLY OFF",
            "BLPOP l 0",
            "blmove a b LEFT LEFT 0",
            "XREAD BLOCK 0 STREAMS s 0",
            "xreadgroup GROUP g c block 1 STREAMS s >",
            "XREADGROUP GROUP streams c BLOCK 0 STREAMS s >",
            "XREADGROUP GROUP g streams COUNT streams block 0 STREAMS s >",
            "script debug yes",
            "RESET",
            "HELLO 3",
        ] {
            assert!(may(command).is_err(), "{command}");
        }
        assert!(check(&[]).is_err());
    }
}
