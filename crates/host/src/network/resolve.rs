//! From a host's name to addresses: the system's name servers or others that the node is told, with a cache that
//! keeps to the answers' times.
//!
//! Knows no grant: which of the addresses may be connected to is decided for each anew, whenever it is.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use everwarm_engine::outbound::SendError;
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolverConfig, ResolverOpts,
};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;

/// Names whose answers are kept.
const CACHE_NAMES_MAX: u64 = 4_096;
/// How long an answer is kept at most, whatever it says of itself: moves are noticed within that time.
const TTL_MAX: Duration = Duration::from_mins(5);
/// How long it is remembered that there is no such name.
const NEGATIVE_TTL_MAX: Duration = Duration::from_secs(10);
/// How long one name server has for one answer.
const ATTEMPT_TIME_MAX: Duration = Duration::from_secs(3);

/// See the module's documentation.
pub(crate) struct Resolver(Option<TokioResolver>);

impl Resolver {
    /// Asks the name servers at `servers`, or those of the system if there are none.
    pub(crate) fn new(servers: &[SocketAddr]) -> Self {
        let resolver = build(servers).inspect_err(|error| {
            tracing::warn!(%error, "names can't be looked up: the system's name servers aren't known");
        });
        Self(resolver.ok())
    }

    /// The addresses of a name, none of which has been judged.
    pub(crate) async fn addresses(&self, name: &str) -> Result<Vec<IpAddr>, SendError> {
        let Some(resolver) = &self.0 else {
            return Err(SendError::Dns("the node has no name servers".into()));
        };
        // A name with a dot is meant as it is; one without may be short for one in the system's own domain.
        let found = if name.contains('.') {
            resolver.lookup_ip(format!("{name}.")).await
        } else {
            resolver.lookup_ip(name).await
        };
        let addresses: Vec<IpAddr> = found.map_err(of_net)?.iter().collect();
        if addresses.is_empty() {
            return Err(SendError::Dns("the name has no address".into()));
        }
        Ok(addresses)
    }
}

fn build(servers: &[SocketAddr]) -> Result<TokioResolver, NetError> {
    let mut builder = if servers.is_empty() {
        TokioResolver::builder_tokio()?
    } else {
        let servers = servers.iter().map(|server| of_address(*server)).collect();
        let config = ResolverConfig::from_parts(None, Vec::new(), servers);
        TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
    };
    limit(builder.options_mut());
    builder.build()
}

fn of_address(server: SocketAddr) -> NameServerConfig {
    let mut config = NameServerConfig::udp_and_tcp(server.ip());
    let at_port = |connection: &mut ConnectionConfig| connection.port = server.port();
    config.connections.iter_mut().for_each(at_port);
    config
}

fn limit(options: &mut ResolverOpts) {
    options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
    options.cache_size = CACHE_NAMES_MAX;
    options.timeout = options.timeout.min(ATTEMPT_TIME_MAX);
    options.positive_max_ttl = Some(TTL_MAX);
    options.negative_max_ttl = Some(NEGATIVE_TTL_MAX);
}

fn of_net(error: NetError) -> SendError {
    match error {
        NetError::Timeout => SendError::DnsTimeout,
        NetError::Dns(DnsError::NoRecordsFound(none)) => match none.response_code {
            ResponseCode::NXDomain => SendError::DestinationNotFound,
            ResponseCode::NoError => SendError::Dns("the name has no address".into()),
            code => SendError::Dns(code.to_string().into()),
        },
        other => SendError::Dns(other.to_string().into()),
    }
}
