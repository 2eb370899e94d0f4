//! A name server that answers what a test says, and may answer something else the next time.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use hickory_proto::op::{Message, OpCode, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, SOA};
use hickory_proto::rr::{RData, Record, RecordType};
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

/// See the module's documentation. It ends with this value. It listens for datagrams alone.
#[derive(Debug)]
pub struct NameServer {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    task: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct State {
    /// What is answered for a name, one entry after the other; the last stays. No entry: no answer at all.
    names: BTreeMap<String, Vec<Vec<IpAddr>>>,
    /// Seconds that answers may be kept.
    ttl: u32,
    questions: Vec<String>,
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl NameServer {
    /// Starts one that knows no name.
    ///
    /// # Panics
    ///
    /// When there is no port.
    pub async fn start() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await;
        let socket = socket.expect("a port is free");
        let address = socket.local_addr().expect("a socket has an address");
        let state = Arc::<Mutex<State>>::default();
        let task = tokio::spawn(answer(socket, Arc::clone(&state)));
        Self {
            address,
            state,
            task,
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on `name` has these addresses.
    pub fn set(&self, name: &str, addresses: &[&str]) {
        self.set_turns(name, &[addresses]);
    }

    /// From now on `name` has the first of these sets of addresses for the first question, the second for the second,
    /// and so on; the last for all others. Questions for IPv4 are counted.
    ///
    /// # Panics
    ///
    /// When one is no address.
    pub fn set_turns(&self, name: &str, turns: &[&[&str]]) {
        let turn = |addresses: &&[&str]| {
            let parsed = addresses.iter().map(|text| text.parse());
            parsed.collect::<Result<Vec<IpAddr>, _>>()
        };
        let turns: Result<Vec<_>, _> = turns.iter().map(turn).collect();
        let turns = turns.expect("they are addresses");
        self.with(|state| state.names.insert(name.to_owned(), turns));
    }

    /// From now on `name` is asked for in vain: there is no answer.
    pub fn be_silent_for(&self, name: &str) {
        self.with(|state| state.names.insert(name.to_owned(), Vec::new()));
    }

    /// How long answers may be kept, in seconds. None, unless a test says so.
    pub fn set_ttl(&self, seconds: u32) {
        self.with(|state| state.ttl = seconds);
    }

    /// The names that were asked for so far, once for each question.
    pub fn questions(&self) -> Vec<String> {
        self.with(|state| state.questions.clone())
    }

    fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

async fn answer(socket: UdpSocket, state: Arc<Mutex<State>>) {
    let mut datagram = [0; 4_096];
    while let Ok((length, from)) = socket.recv_from(&mut datagram).await {
        let Ok(question) = Message::from_vec(&datagram[..length]) else {
            continue;
        };
        let answer = {
            let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
            state.answer(&question)
        };
        if let Some(answer) = answer.and_then(|answer| answer.to_vec().ok()) {
            // A client that has gone needs no answer.
            let _ = socket.send_to(&answer, from).await;
        }
    }
}

impl State {
    fn answer(&mut self, question: &Message) -> Option<Message> {
        let asked = question.queries.first()?;
        let name = asked.name().to_lowercase().to_string();
        let name = name.trim_end_matches('.').to_owned();
        self.questions.push(name.clone());
        let mut answer = Message::response(question.metadata.id, OpCode::Query);
        answer.add_query(asked.clone());
        let Some(turns) = self.names.get_mut(&name) else {
            answer.metadata.response_code = ResponseCode::NXDomain;
            return Some(answer);
        };
        let addresses = turns.first()?.clone();
        if asked.query_type() == RecordType::A && turns.len() > 1 {
            turns.remove(0);
        }
        for address in addresses {
            let data = match (address, asked.query_type()) {
                (IpAddr::V4(address), RecordType::A) => RData::A(A(address)),
                (IpAddr::V6(address), RecordType::AAAA) => RData::AAAA(AAAA(address)),
                _ => continue,
            };
            answer.add_answer(Record::from_rdata(asked.name().clone(), self.ttl, data));
        }
        if answer.answers.is_empty() {
            // Says for how long it may be remembered that there is none (RFC 2308, section 3).
            let owner = asked.name().clone();
            let soa = SOA::new(owner.clone(), owner.clone(), 1, 60, 60, 60, self.ttl);
            answer.add_authority(Record::from_rdata(owner, self.ttl, RData::SOA(soa)));
        }
        Some(answer)
    }
}
