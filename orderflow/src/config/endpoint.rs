//! The address of a cluster as people write it: `HOST:PORT`. Whether anybody answers there is another question.

use std::net::Ipv6Addr;

use anyhow::ensure;

/// Checks that `endpoint` is a host and a port, so that a slip of the pen is not waited for.
///
/// # Errors
/// If it is not; the text names `flag`.
pub(crate) fn check_endpoint(flag: &str, endpoint: &str) -> anyhow::Result<()> {
    let is_port = |port: &str| port.bytes().all(|digit| digit.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port > 0);
    let fits = endpoint.rsplit_once(':').is_some_and(|(host, port)| is_host(host) && is_port(port));
    ensure!(fits, "{flag}: `{endpoint}` is no address; give HOST:PORT, for example `127.0.0.1:9003` (an IPv6 address in brackets: `[::1]:9003`)");
    Ok(())
}

/// Returns the servers of a MongoDB URI, each as `HOST:PORT`, and nothing else of it: it may hold a password. Empty if they are only known by a record in the DNS (`mongodb+srv`), or it is no URI:
/// then the driver says what is wrong with it.
pub(crate) fn mongodb_hosts(uri: &str) -> Vec<String> {
    let Some(rest) = uri.strip_prefix("mongodb://") else { return Vec::new() };
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    let hosts = authority.rsplit_once('@').map_or(authority, |(_, hosts)| hosts);
    // Sockets of this machine have no name to resolve.
    let named = hosts.split(',').filter(|host| !host.is_empty() && !host.contains('%'));
    let has_port = |host: &str| host.rsplit_once(':').is_some_and(|(_, port)| !port.ends_with(']') && !port.is_empty());
    named.map(|host| if has_port(host) { host.to_owned() } else { format!("{host}:27017") }).collect()
}

fn is_host(host: &str) -> bool {
    if let Some(address) = host.strip_prefix('[') {
        return address.strip_suffix(']').is_some_and(|address| address.parse::<Ipv6Addr>().is_ok());
    }
    !host.is_empty() && host.chars().all(|letter| letter.is_alphanumeric() || matches!(letter, '.' | '-' | '_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_mongodb_uri_only_its_servers_are_told() {
        for (uri, hosts) in [
            ("mongodb://127.0.0.1:27017/views", &["127.0.0.1:27017"][..]),
            ("mongodb://kim:p%40ss@a.example,b.example:1/views?replicaSet=r", &["a.example:27017", "b.example:1"]),
            ("mongodb://[::1]/", &["[::1]:27017"]),
            ("mongodb://%2Ftmp%2Fmongodb-27017.sock", &[]),
            ("mongodb+srv://a.example/views", &[]),
            ("garbage", &[]),
        ] {
            assert_eq!(mongodb_hosts(uri), hosts, "{uri}");
        }
    }

    #[test]
    fn an_address_has_a_host_and_a_port_and_nothing_else() {
        for endpoint in ["127.0.0.1:9003", "localhost:1", "fluvio-sc-public.fluvio.svc.cluster.local:9003", "sc_1:65535", "[::1]:9003"] {
            check_endpoint("--fluvio", endpoint).expect(endpoint);
        }
        for endpoint in [
            "",
            "garbage",
            "9003",
            ":9003",
            "localhost:",
            "localhost:0",
            "localhost:65536",
            "localhost:+1",
            "localhost:sc",
            "local host:9003",
            "http://localhost:9003",
            "localhost:9003/",
            "::1:9003",
            "[::1]",
            "[localhost]:9003",
            "a:1,b:1",
        ] {
            let error = check_endpoint("--fluvio", endpoint).expect_err(endpoint);
            assert!(error.to_string().starts_with(&format!("--fluvio: `{endpoint}` is no address")), "{error}");
        }
    }
}
