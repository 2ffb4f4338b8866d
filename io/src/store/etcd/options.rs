//! What it takes to reach etcd.

use super::node::Node;
use crate::net::Peer;
use crate::tls::Certificates;
use etcd_client::ConnectOptions;
use std::fmt;
use tonic::transport::Endpoint;
use weir_core::mysql::auth::Secret;
use weir_core::orch::lock::ANSWER_TIME_MAX;
use weir_core::topo::store::Prefix;

/// Endpoints of one cluster, at most.
const ENDPOINTS_MAX: usize = 16;

/// Which cluster, and how it lets us in.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Such as `http://10.0.0.1:2379`, or `https://…` with TLS; `http` when nothing is said. At least one.
    pub endpoints: Vec<String>,
    /// What all keys begin with.
    pub prefix: Prefix,
    /// Who we are, where etcd asks.
    pub login: Option<Login>,
    /// For endpoints with `https`.
    pub tls: Option<Tls>,
}

/// A user of etcd.
#[derive(Clone, Debug)]
pub struct Login {
    /// The user's name.
    pub user: String,
    /// The user's password.
    pub password: Secret,
}

/// How connections are protected.
#[derive(Clone, Debug)]
pub struct Tls {
    /// Those that vouch for etcd, and our own where it asks for one.
    pub certificates: Certificates,
    /// The name in etcd's certificate, where it is not the endpoint's.
    pub name: Option<String>,
}

/// Options that make no sense: which, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OptionsError(String);

impl fmt::Display for OptionsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for OptionsError {}

impl Options {
    /// Plain connections to these.
    #[must_use]
    pub fn plain(endpoints: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { endpoints: endpoints.into_iter().map(Into::into).collect(), ..Self::default() }
    }

    pub(super) fn nodes(&self) -> Result<Vec<Node>, OptionsError> {
        if self.endpoints.is_empty() {
            return Err(OptionsError("etcd: no endpoint is named".to_owned()));
        }
        if self.endpoints.len() > ENDPOINTS_MAX {
            let count = self.endpoints.len();
            return Err(OptionsError(format!("etcd: {count} endpoints, and {ENDPOINTS_MAX} are allowed")));
        }
        self.endpoints.iter().map(|url| self.node(url)).collect()
    }

    fn node(&self, url: &str) -> Result<Node, OptionsError> {
        let wrong = |why: &str| OptionsError(format!("etcd endpoint {url}: {why}"));
        let (scheme, rest) = url.split_once("://").unwrap_or(("http", url));
        if rest.contains('@') {
            // Urls are shown to people.
            return Err(OptionsError("etcd: an endpoint must not name a user: there is an option for that".to_owned()));
        }
        let url = format!("{scheme}://{rest}");
        let endpoint = Endpoint::from_shared(format!("http://{rest}")).map_err(|error| wrong(&error.to_string()))?;
        let endpoint = endpoint.connect_timeout(ANSWER_TIME_MAX);
        let has_host = endpoint.uri().host().is_some_and(|host| !host.is_empty());
        let (certificates, name) = match (scheme, &self.tls) {
            _ if !has_host => return Err(wrong("it has no host")),
            ("http", _) => (None, None),
            ("https", Some(Tls { certificates, name })) => (Some(certificates), name.as_deref()),
            ("https", None) => return Err(wrong("it takes a certificate to trust")),
            _ => return Err(wrong("expected http:// or https://")),
        };
        let peer = Peer::new(endpoint, certificates, name).map_err(|why| wrong(&why))?;
        Ok(Node::new(url, peer, self.connect_options()?))
    }

    fn connect_options(&self) -> Result<ConnectOptions, OptionsError> {
        // A node without the others must not pretend that nothing happens.
        let options = ConnectOptions::new().with_require_leader(true);
        let Some(Login { user, password }) = &self.login else { return Ok(options) };
        let password = std::str::from_utf8(password.expose())
            .map_err(|_| OptionsError(format!("etcd: the password of {user} is not UTF-8")))?;
        Ok(options.with_user(user.clone(), password))
    }
}

/// An error and what is behind it, in one line. Layers that only repeat what is below them are left out.
pub(super) fn reasons(error: &(dyn std::error::Error + 'static)) -> String {
    let mut reasons: Vec<String> = Vec::new();
    for error in std::iter::successors(Some(error), |error| error.source()) {
        let reason = error.to_string();
        if !reasons.iter().any(|known| known.contains(&reason)) {
            reasons.push(reason);
        }
    }
    reasons.join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(options: &Options) -> String {
        options.nodes().err().expect("it makes no sense").to_string()
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert_eq!(problem(&Options::default()), "etcd: no endpoint is named");
        for (url, says) in [
            ("ftp://a:1", "expected http:// or https://"),
            ("https://a:1", "it takes a certificate to trust"),
            ("http://", "etcd endpoint http://"),
            ("http://a b:1", "etcd endpoint http://a b:1"),
        ] {
            assert!(problem(&Options::plain([url])).contains(says), "{url}: {}", problem(&Options::plain([url])));
        }
        let secret = problem(&Options::plain(["http://me:hidden@a:1"]));
        assert!(!secret.contains("hidden"), "{secret}");
        assert!(problem(&Options::plain(vec!["a:1"; 17])).contains("17 endpoints"));
    }

    #[test]
    fn secrets_are_not_shown() {
        let login = Login { user: "weir".to_owned(), password: Secret::new(b"hidden".as_slice()) };
        let options = Options { login: Some(login), ..Options::plain(["a:1"]) };
        assert!(!format!("{options:?}").contains("hidden") && !format!("{options:?}").contains("104"), "{options:?}");
    }
}
